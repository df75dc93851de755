/**
 * `where="one_side"`: what leaves this node and names no source of its own has the virtual address as its source. For IPv4 every route of
 * the interface gets a twin in front of it that says so. The kernel takes such routes away together with the address, also when that
 * expires, so nothing is left of it on a node that died. For IPv6 it is enough that the address is not deprecated.
 */
import type { PlacedAddress } from './placement.js';
import type { Rtnetlink } from './rtnetlink.js';
import type { KernelLink, KernelRoute } from './rtnetlink-messages.js';

/** Puts the twins that are missing; the address must be there. @throws SystemCallFailed */
export function preferAsSource(rtnetlink: Rtnetlink, { address }: PlacedAddress, link: KernelLink): void {
  if (address.family === 6) return;
  const isHere = ({ interfaceIndex }: { readonly interfaceIndex: number }): boolean => interfaceIndex === link.index;
  const own = new Set(
    rtnetlink
      .addresses()
      .filter(isHere)
      .map((entry) => entry.address.text),
  );
  const routes = rtnetlink.routes().filter(isHere);
  const done = new Set(routes.filter(({ source }) => source === address.text).map(keyOf));
  for (const route of routes) {
    const isChosen = route.source !== undefined && !own.has(route.source);
    // A source that somebody chose, of another interface, stays.
    if (isChosen || done.has(keyOf(route))) continue;
    rtnetlink.addRouteBefore(route, address);
    done.add(keyOf(route));
  }
}

/** Two routes of one key differ in nothing but what they say of the source. */
function keyOf({ destination, prefixLength, gateway, priority }: KernelRoute): string {
  return `${destination}/${prefixLength} ${gateway} ${priority}`;
}
