/**
 * The kernel's side of virtual addresses: taken with a lifetime, prolonged, removed, and each time read back. An address that is not
 * prolonged disappears by itself, so an agent that died or hangs cannot keep it.
 */
import { writeFileSync } from 'node:fs';
import { HoldfastError } from '@holdfast/sdk';
import { ERRNO, SystemCallFailed } from './libc.js';
import type { PlacedAddress } from './placement.js';
import type { Rtnetlink } from './rtnetlink.js';
import { inSameSubnet } from './ip-address.js';
import type { AddressChange, AddressUse, KernelAddress, KernelLink } from './rtnetlink-messages.js';

/** The lifetime of a virtual address is a part of a heartbeat timeout; a node's own addresses stay for ever, or for hours. */
const VIRTUAL_SECONDS_MAX = 600;

/** Takes the address on this interface, or gives it the lifetime if it is there; entries made by hand elsewhere are replaced. */
export function takeAddress(rtnetlink: Rtnetlink, placed: PlacedAddress, link: KernelLink, lifetimeSeconds: number): void {
  if (!link.up) {
    throw new HoldfastError(
      'HF_VIP_INTERFACE_DOWN',
      `interface "${link.name}" is down, so ${placed.address.text} would not be reachable on it; set it up`,
      { address: placed.address.text, interface: link.name },
    );
  }
  try {
    const present = rtnetlink.addresses();
    const others = entriesOf(present, placed).filter(
      (entry) => entry.interfaceIndex !== link.index || entry.prefixLength !== placed.prefixLength || entry.tentative,
    );
    for (const entry of others) removeEntry(rtnetlink, entry);
    rtnetlink.setAddress(changeOf(placed, link), useOf(placed, link, lifetimeSeconds, present));
  } catch (error) {
    throw takeFailed(error, placed);
  }
  if (!isHeld(rtnetlink.addresses(), placed)) {
    throw new HoldfastError(
      'HF_VIP_ACQUIRE_FAILED',
      `the kernel accepted ${placed.address.text} on "${link.name}" but does not list it; another program removes addresses there`,
      { address: placed.address.text, interface: link.name },
    );
  }
}

/** Gives an address that is there, as `present` lists it, its lifetime anew. @throws SystemCallFailed */
export function prolongAddress(
  rtnetlink: Rtnetlink,
  placed: PlacedAddress,
  link: KernelLink,
  lifetimeSeconds: number,
  present: readonly KernelAddress[],
): void {
  rtnetlink.setAddress(changeOf(placed, link), useOf(placed, link, lifetimeSeconds, present));
}

function changeOf(placed: PlacedAddress, link: KernelLink): AddressChange {
  return { address: placed.address, prefixLength: placed.prefixLength, interfaceIndex: link.index };
}

function useOf(placed: PlacedAddress, link: KernelLink, lifetimeSeconds: number, present: readonly KernelAddress[]): AddressUse {
  return { lifetimeSeconds, isSource: placed.isSource, isAloneInSubnet: isAlone(present, placed, link) };
}

/** The node has no address of its own in this subnet of the interface, so nothing else makes the neighbours reachable there. */
function isAlone(present: readonly KernelAddress[], { address, prefixLength }: PlacedAddress, link: KernelLink): boolean {
  const isOwn = ({ interfaceIndex, validSeconds }: KernelAddress): boolean =>
    interfaceIndex === link.index && (validSeconds ?? Infinity) > VIRTUAL_SECONDS_MAX;
  return !present.some((entry) => isOwn(entry) && inSameSubnet(entry.address, address, Math.min(entry.prefixLength, prefixLength)));
}

/** Removes the address from every interface of this node. @throws SystemCallFailed */
export function dropAddress(rtnetlink: Rtnetlink, placed: PlacedAddress): void {
  for (const entry of entriesOf(rtnetlink.addresses(), placed)) removeEntry(rtnetlink, entry);
}

export function entriesOf(addresses: readonly KernelAddress[], placed: PlacedAddress): readonly KernelAddress[] {
  return addresses.filter((entry) => entry.address.text === placed.address.text);
}

/** On any interface, or on that of `interfaceIndex`. */
export function isHeld(addresses: readonly KernelAddress[], placed: PlacedAddress, interfaceIndex?: number): boolean {
  return entriesOf(addresses, placed).some(
    (entry) => !entry.tentative && (interfaceIndex === undefined || entry.interfaceIndex === interfaceIndex),
  );
}

/**
 * Removing an IPv4 address takes the later ones of its subnet along unless the interface promotes them. The virtual address can be the
 * first one if the node's own came back after it: the node's own must survive.
 */
function removeEntry(rtnetlink: Rtnetlink, entry: KernelAddress): void {
  const dependent = (other: KernelAddress): boolean =>
    other.secondary &&
    other.interfaceIndex === entry.interfaceIndex &&
    other.prefixLength === entry.prefixLength &&
    inSameSubnet(other.address, entry.address, entry.prefixLength);
  if (entry.address.family === 4 && !entry.secondary && rtnetlink.addresses().some(dependent)) {
    const name = rtnetlink.links().find((link) => link.index === entry.interfaceIndex)?.name;
    if (name !== undefined) writeFileSync(`/proc/sys/net/ipv4/conf/${name}/promote_secondaries`, '1');
  }
  rtnetlink.removeAddress(entry);
}

/** A system call's refusal as a sentence with its likely cause. */
function takeFailed(error: unknown, placed: PlacedAddress): unknown {
  if (!(error instanceof SystemCallFailed)) return error;
  if (error.errno === ERRNO.EPERM) return permissionMissing('CAP_NET_ADMIN', error);
  const ipv6Disabled = error.errno === ERRNO.EACCES && placed.address.family === 6;
  const cause = ipv6Disabled ? 'IPv6 is disabled on the interface' : 'the address or prefix length does not suit the interface';
  return new HoldfastError(
    'HF_VIP_ACQUIRE_FAILED',
    `${placed.address.text}/${placed.prefixLength} could not be added to "${placed.interfaceName}" (${error.message}): ${cause}`,
    { address: placed.address.text, interface: placed.interfaceName, errno: error.errnoName },
    { cause: error },
  );
}

export function permissionMissing(capability: string, cause?: SystemCallFailed): HoldfastError {
  return new HoldfastError(
    'HF_VIP_PERMISSION',
    `this process may not manage virtual addresses: ${capability} is missing; run the agent as root or grant it that capability`,
    { capability },
    { cause },
  );
}
