/**
 * One interface as the announcer and the watcher see it: says who we are, asks who has an address, hears who claims one. The interface is
 * known by its name: its index and hardware address may change under us (a driver reloaded, a bond that took another port), so they are
 * read again before every use that matters.
 */
import { HoldfastError } from '@holdfast/sdk';
import { decodeArpClaim, encodeArpProbe, encodeGratuitousArp, ETHERTYPE_ARP } from './arp-frames.js';
import { type Claim, isHostMac } from './claim.js';
import { arpClaimFilter, neighbourClaimFilter } from './claim-filter.js';
import { type IpAddress, isLinkLocal } from './ip-address.js';
import { SystemCallFailed } from './libc.js';
import {
  decodeNeighbourClaim,
  encodeDuplicateAddressSolicitation,
  encodeSolicitation,
  encodeUnsolicitedAdvertisement,
  ETHERTYPE_IPV6,
} from './neighbour-discovery-frames.js';
import { PacketSocket } from './packet-socket.js';
import { interfaceMissing } from './placement.js';
import type { Rtnetlink } from './rtnetlink.js';
import type { KernelAddress, KernelLink } from './rtnetlink-messages.js';

/** Bounds one visit to a socket: a flood may cost us frames, never the event loop. Above what a kernel buffer of default size holds. */
const FRAMES_PER_RECEIVE_MAX = 512;

export class NetworkLink {
  readonly name: string;
  private readonly rtnetlink: Rtnetlink;
  private readonly arpFilter: Buffer;
  private readonly neighbourFilter: Buffer;
  private link: KernelLink;
  private arp: PacketSocket;
  private neighbourDiscovery: PacketSocket;

  /**
   * @param addresses the only ones whose claims are heard
   * @throws HoldfastError when the interface is missing or not Ethernet
   * @throws SystemCallFailed
   */
  constructor(name: string, addresses: readonly IpAddress[], rtnetlink: Rtnetlink) {
    this.name = name;
    this.arpFilter = arpClaimFilter(addresses);
    this.neighbourFilter = neighbourClaimFilter(addresses);
    this.rtnetlink = rtnetlink;
    this.link = this.read();
    this.arp = new PacketSocket(this.link.index, ETHERTYPE_ARP, this.arpFilter);
    try {
      this.neighbourDiscovery = new PacketSocket(this.link.index, ETHERTYPE_IPV6, this.neighbourFilter);
    } catch (error) {
      void this.arp.close();
      throw error;
    }
  }

  /** The interface as it is now; opens new sockets if it was made anew. @throws HoldfastError when it is gone. */
  refresh(): KernelLink {
    const previous = this.link;
    this.link = this.read();
    if (this.link.index !== previous.index) {
      void this.close();
      this.arp = new PacketSocket(this.link.index, ETHERTYPE_ARP, this.arpFilter);
      this.neighbourDiscovery = new PacketSocket(this.link.index, ETHERTYPE_IPV6, this.neighbourFilter);
    }
    return this.link;
  }

  /** Tells everybody on the link that `address` is here. Best-effort, never waits. @throws HoldfastError, SystemCallFailed */
  announce(address: IpAddress): void {
    const { hardwareAddress } = this.refresh();
    if (address.family === 6) this.neighbourDiscovery.send(encodeUnsolicitedAdvertisement(hardwareAddress, address.bytes));
    else for (const frame of encodeGratuitousArp(hardwareAddress, address.bytes)) this.arp.send(frame);
  }

  /** Asks who has `address` without claiming it; the answer arrives by `receive`. @throws HoldfastError, SystemCallFailed */
  askFor(address: IpAddress): void {
    const { hardwareAddress } = this.refresh();
    if (address.family === 6) this.neighbourDiscovery.send(encodeDuplicateAddressSolicitation(hardwareAddress, address.bytes));
    else this.arp.send(encodeArpProbe(hardwareAddress, address.bytes));
  }

  /**
   * Asks the other owner of an address that is held here too; the answer comes to this host alone, so no cache learns from question or
   * answer. For IPv6 that needs an address of this host on the link, one of `present`; without one nothing is asked.
   * @throws HoldfastError, SystemCallFailed
   */
  askOwnerOf(address: IpAddress, present: readonly KernelAddress[]): void {
    if (address.family === 4) return this.askFor(address);
    const { hardwareAddress, index } = this.refresh();
    // The node's own addresses stay for ever or for hours, a virtual one for seconds.
    const own = present
      .filter((entry) => entry.interfaceIndex === index && entry.address.family === 6 && !entry.tentative)
      .filter((entry) => entry.address.text !== address.text)
      .sort(
        (a, b) =>
          (b.validSeconds ?? Infinity) - (a.validSeconds ?? Infinity) || Number(isLinkLocal(b.address)) - Number(isLinkLocal(a.address)),
      );
    const source = own[0]?.address;
    if (source !== undefined) this.neighbourDiscovery.send(encodeSolicitation(hardwareAddress, source.bytes, address.bytes));
  }

  /** What others claimed since the last call. Garbage and own frames are left out. */
  receive(): readonly Claim[] {
    return [...this.drain(this.arp, decodeArpClaim), ...this.drain(this.neighbourDiscovery, decodeNeighbourClaim)];
  }

  async close(): Promise<void> {
    await Promise.all([this.arp.close(), this.neighbourDiscovery.close()]);
  }

  private read(): KernelLink {
    const link = this.rtnetlink.link(this.name);
    if (link === undefined) throw interfaceMissing(this.name);
    if (!link.ethernet) {
      throw new HoldfastError(
        'HF_VIP_INTERFACE_NOT_ETHERNET',
        `interface "${this.name}" is not an Ethernet interface: an address on it cannot be announced by ARP or neighbour discovery`,
        { interface: this.name },
      );
    }
    return link;
  }

  private drain(socket: PacketSocket, decode: (frame: Buffer) => Claim | undefined): readonly Claim[] {
    const claims: Claim[] = [];
    for (let frames = 0; frames < FRAMES_PER_RECEIVE_MAX; frames += 1) {
      const frame = receiveFrame(socket);
      if (frame === undefined) break;
      const claim = decode(frame);
      if (claim !== undefined && isHostMac(claim.mac) && !claim.mac.equals(this.link.hardwareAddress)) claims.push(claim);
    }
    return claims;
  }
}

/** An interface that went down says so once on its sockets; they work again when it is back. */
function receiveFrame(socket: PacketSocket): Buffer | undefined {
  try {
    return socket.receive();
  } catch (error) {
    if (error instanceof SystemCallFailed) return undefined;
    throw error;
  }
}
