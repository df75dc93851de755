/** Which interface an address goes to, and with which prefix length: a pure choice over what the kernel lists. */
import { HoldfastError } from '@holdfast/sdk';
import type { Rerouting, WishedAddress } from './configuration.js';
import { inSameSubnet, type IpAddress, isLinkLocal, unusableReason } from './ip-address.js';
import type { KernelAddress, KernelLink } from './rtnetlink-messages.js';

export interface PlacedAddress {
  readonly address: IpAddress;
  readonly prefixLength: number;
  readonly interfaceName: string;
  /** The node's own connections leave from it. */
  readonly isSource: boolean;
  readonly rerouting: Rerouting | undefined;
}

interface Candidate {
  readonly link: KernelLink;
  readonly address: KernelAddress;
}

/**
 * An interface of a wished name is taken as it is. Otherwise it is the one that has an address of the node whose subnet contains the
 * virtual one; addresses that the cluster configuration names come first, then the smallest subnet.
 * @throws HoldfastError when nothing suits, or when only a guess would
 */
export function placeAddress(
  wished: WishedAddress,
  links: readonly KernelLink[],
  addresses: readonly KernelAddress[],
  localAddresses: ReadonlySet<string>,
): PlacedAddress {
  const { interfaceName: name } = wished;
  if (name !== undefined && !links.some((link) => link.name === name)) throw interfaceMissing(name);
  const candidates = findCandidates(wished, links, addresses, localAddresses);
  const best = candidates[0];
  const interfaceName = wished.interfaceName ?? best?.link.name;
  const prefixLength = wished.prefixLength ?? best?.address.prefixLength;
  if (interfaceName === undefined || prefixLength === undefined) throw noPlace(wished, addresses);
  const reason = unusableReason(wished.address, prefixLength);
  if (reason !== undefined) {
    throw new HoldfastError('HF_VIP_ADDRESS_INVALID', `virtual_addr addr="${wished.address.text}" cannot be used: ${reason}`, {
      address: wished.address.text,
    });
  }
  const { address, isSource, rerouting } = wished;
  return { address, prefixLength, interfaceName, isSource, rerouting };
}

export function interfaceMissing(name: string): HoldfastError {
  const message = `there is no network interface "${name}" on this node; it was renamed or removed`;
  return new HoldfastError('HF_VIP_INTERFACE_MISSING', message, { interface: name });
}

/**
 * Each family of an interface has one source at most.
 * @throws HoldfastError naming both addresses
 */
export function refuseTwoSources(placed: readonly PlacedAddress[]): void {
  const sources = placed.filter(({ isSource }) => isSource);
  for (const one of sources) {
    const isRival = (other: PlacedAddress): boolean =>
      other !== one && other.interfaceName === one.interfaceName && other.address.family === one.address.family;
    const rival = sources.find(isRival);
    if (rival === undefined) continue;
    const both = `${one.address.text} and ${rival.address.text}`;
    const cure = 'leave where="one_side" to one of them';
    throw new HoldfastError(
      'HF_VIP_SOURCE_AMBIGUOUS',
      `${both} of interface "${one.interfaceName}" cannot both be the source of this node's connections; ${cure}`,
      { addresses: [one.address.text, rival.address.text], interface: one.interfaceName },
    );
  }
}

function findCandidates(
  wished: WishedAddress,
  links: readonly KernelLink[],
  addresses: readonly KernelAddress[],
  localAddresses: ReadonlySet<string>,
): readonly Candidate[] {
  if (wished.interfaceName === undefined && isLinkLocal(wished.address)) return [];
  const usable = (link: KernelLink): boolean =>
    link.ethernet && !link.loopback && (wished.interfaceName === undefined || link.name === wished.interfaceName);
  const candidates = links.filter(usable).flatMap((link) =>
    addresses
      .filter((address) => address.interfaceIndex === link.index && address.address.text !== wished.address.text)
      .filter((address) => inSameSubnet(address.address, wished.address, address.prefixLength))
      .map((address) => ({ link, address })),
  );
  const rank = ({ address }: Candidate): number => (localAddresses.has(address.address.text) ? 1000 : 0) + address.prefixLength;
  return candidates.sort((a, b) => rank(b) - rank(a));
}

function noPlace(wished: WishedAddress, addresses: readonly KernelAddress[]): HoldfastError {
  const address = wished.address.text;
  if (wished.interfaceName !== undefined) {
    return new HoldfastError(
      'HF_VIP_NO_NETMASK',
      `interface "${wished.interfaceName}" has no address whose subnet contains ${address}, so its netmask is not known; write netmask=`,
      { address, interface: wished.interfaceName },
    );
  }
  if (isLinkLocal(wished.address)) {
    return new HoldfastError('HF_VIP_NO_INTERFACE', `${address} is link-local and exists on every interface; write name= on interface`, {
      address,
    });
  }
  const present = addresses.filter((known) => known.address.family === wished.address.family);
  const list = present.map((known) => `${known.address.text}/${known.prefixLength}`).join(', ') || 'none';
  return new HoldfastError(
    'HF_VIP_NO_INTERFACE',
    `no Ethernet interface here has a subnet that contains ${address} (present: ${list}); write name= and netmask=, or another addr`,
    { address, present: present.map((known) => `${known.address.text}/${known.prefixLength}`) },
  );
}
