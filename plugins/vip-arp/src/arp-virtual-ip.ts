/**
 * The virtual addresses of one module on this node. Two rules carry the safety: an address is announced or defended only while the kernel
 * still lists it (an agent that was paused must not pull the clients back from the node that took over), and prolonging never brings an
 * address back. All of it is synchronous calls of some ten microseconds; sockets are polled, so nothing ever blocks the event loop.
 */
import { setTimeout as delay } from 'node:timers/promises';
import {
  type AddressStatus,
  type ConflictVerdict,
  HoldfastError,
  type Log,
  messageOf,
  type ReleaseOptions,
  type VirtualIp,
} from '@holdfast/sdk';
import { Announcements } from './announcements.js';
import { type Claim, formatMac } from './claim.js';
import { ConflictRecord } from './conflict-record.js';
import { resetConnections } from './connection-reset.js';
import { dropAddress, entriesOf, isHeld, prolongAddress, takeAddress } from './held-addresses.js';
import type { NetworkLink } from './network-link.js';
import type { PlacedAddress } from './placement.js';
import type { Rtnetlink } from './rtnetlink.js';
import type { KernelAddress, KernelLink } from './rtnetlink-messages.js';
import { preferAsSource } from './source-routes.js';

const WATCH_INTERVAL_MS = 50;
const PROBE_POLL_MS = 5;
/** A probe is asked twice, for the case that one frame is lost, and answered by a healthy owner within a millisecond. */
const PROBE_AGAIN_MS = 70;
const PROBE_WAIT_MS = 180;
/** Renewals within a quarter of the lifetime after the last one change nothing. */
const RENEWALS_PER_LIFETIME = 4;

interface VirtualAddress {
  readonly placed: PlacedAddress;
  readonly link: NetworkLink;
  readonly announcements: Announcements;
  /** Taken and not released; whether the kernel agrees is asked each time that it matters. */
  holding: boolean;
  renewedAtMs: number;
  conflict: ConflictRecord;
}

export interface ArpVirtualIpParts {
  readonly placed: readonly PlacedAddress[];
  /** One per interface name of `placed`. */
  readonly links: ReadonlyMap<string, NetworkLink>;
  readonly rtnetlink: Rtnetlink;
  readonly lifetimeMs: number;
  readonly log: Log;
}

export class ArpVirtualIp implements VirtualIp {
  private readonly addresses: readonly VirtualAddress[];
  private readonly links: readonly NetworkLink[];
  private readonly rtnetlink: Rtnetlink;
  private readonly log: Log;
  /** Whole seconds: the kernel knows no finer lifetime. */
  private readonly lifetimeSeconds: number;
  private readonly renewIntervalMs: number;
  private readonly conflictListeners: ((status: AddressStatus) => ConflictVerdict)[] = [];
  private readonly probes = new Set<Map<string, string>>();
  private watch: NodeJS.Timeout | undefined;
  private renewFailing = false;
  private sourceFailing = false;
  private closed = false;

  constructor(parts: ArpVirtualIpParts) {
    this.rtnetlink = parts.rtnetlink;
    this.log = parts.log;
    this.lifetimeSeconds = Math.max(1, Math.ceil(parts.lifetimeMs / 1000));
    this.renewIntervalMs = parts.lifetimeMs / RENEWALS_PER_LIFETIME;
    this.links = [...parts.links.values()];
    this.addresses = parts.placed.map((placed) => this.addressOf(placed, parts.links));
  }

  async probe(signal: AbortSignal): Promise<readonly AddressStatus[]> {
    this.assertOpen();
    signal.throwIfAborted();
    this.receive();
    const answers = new Map<string, string>();
    this.probes.add(answers);
    try {
      const startedAtMs = performance.now();
      let asked = 0;
      for (;;) {
        const elapsedMs = performance.now() - startedAtMs;
        if (elapsedMs >= PROBE_WAIT_MS || this.addresses.every(({ placed }) => answers.has(placed.address.text))) break;
        if (elapsedMs >= asked * PROBE_AGAIN_MS && asked < 2) {
          for (const { link, placed } of this.addresses) if (!answers.has(placed.address.text)) link.askFor(placed.address);
          asked += 1;
        }
        await delay(PROBE_POLL_MS, undefined, { signal });
        this.assertOpen();
        this.receive();
      }
    } finally {
      this.probes.delete(answers);
    }
    const kernel = this.rtnetlink.addresses();
    return this.addresses.map(({ placed }) => statusOf(placed, kernel, answers.get(placed.address.text)));
  }

  async acquire(signal: AbortSignal): Promise<void> {
    this.assertOpen();
    signal.throwIfAborted();
    this.receive();
    const added: VirtualAddress[] = [];
    const kept: VirtualAddress[] = [];
    try {
      for (const address of this.addresses) {
        const wasHeld = address.holding && isHeld(this.rtnetlink.addresses(), address.placed);
        const link = address.link.refresh();
        (wasHeld ? kept : added).push(address);
        takeAddress(this.rtnetlink, address.placed, link, this.lifetimeSeconds);
        this.prefer(address.placed, link);
        address.renewedAtMs = performance.now();
        if (!link.running) this.log.warn('interface has no carrier', { interface: link.name, address: address.placed.address.text });
      }
    } catch (error) {
      // Half of the addresses would split the clients between two nodes.
      for (const address of added) this.dropQuietly(address);
      throw error;
    }
    for (const address of added) {
      address.holding = true;
      address.conflict = new ConflictRecord();
      address.announcements.start();
      this.log.info('virtual address taken', { ...named(address.placed), lifetimeSeconds: this.lifetimeSeconds });
    }
    for (const { announcements } of kept) announcements.start();
    this.watch ??= setInterval(() => this.look(), WATCH_INTERVAL_MS).unref();
  }

  renew(): void {
    if (this.closed) return;
    const nowMs = performance.now();
    const due = this.addresses.filter((address) => address.holding && nowMs - address.renewedAtMs >= this.renewIntervalMs);
    if (due.length === 0) return;
    try {
      const kernel = this.rtnetlink.addresses();
      for (const address of due) this.prolong(address, kernel);
      this.renewFailing = false;
    } catch (error) {
      if (!this.renewFailing) this.log.error('virtual addresses could not be prolonged, they expire', { error: messageOf(error) });
      this.renewFailing = true;
    }
  }

  async verify(): Promise<readonly AddressStatus[]> {
    this.assertOpen();
    let kernel: readonly KernelAddress[];
    try {
      this.receive();
      kernel = this.rtnetlink.addresses();
    } catch (error) {
      this.log.warn('the kernel addresses could not be read', { error: messageOf(error) });
      return this.addresses.map(({ placed }) => ({ ...named(placed), state: 'unknown' }));
    }
    return this.addresses.map(({ placed, conflict, holding }) => statusOf(placed, kernel, holding ? conflict.otherOwner : undefined));
  }

  /** Done even when `signal` is aborted already: it takes no time, and an address that stays is worse than a late stop. */
  async release(signal: AbortSignal, options: ReleaseOptions = {}): Promise<void> {
    this.assertOpen();
    this.stopWatching();
    if (options.resetConnections === true) await this.tellClients(signal);
    for (const address of this.addresses) {
      const wasHolding = address.holding;
      address.holding = false;
      this.dropQuietly(address);
      if (wasHolding) this.log.info('virtual address released', named(address.placed));
    }
    const kernel = this.rtnetlink.addresses();
    const staying = this.addresses.filter(({ placed }) => entriesOf(kernel, placed).length > 0).map(({ placed }) => placed.address.text);
    if (staying.length > 0) {
      throw new HoldfastError(
        'HF_VIP_RELEASE_FAILED',
        `${staying.join(', ')} could not be removed from this node; another program may add it again, or a permission was taken away`,
        { addresses: staying },
      );
    }
  }

  /** Before the addresses go: the resets leave from them. */
  private async tellClients(signal: AbortSignal): Promise<void> {
    const { reset, left, problem } = await resetConnections(
      this.addresses.map(({ placed }) => placed.address),
      signal,
    );
    if (reset > 0) this.log.info('TCP connections of the virtual addresses were reset', { connections: reset });
    if (problem !== undefined) this.log.warn(problem.message, { code: problem.code, connections: left });
  }

  onConflict(listener: (status: AddressStatus) => ConflictVerdict): void {
    this.conflictListeners.push(listener);
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    this.stopWatching();
    await Promise.all([...this.links.map((link) => link.close()), this.rtnetlink.close()]);
  }

  private addressOf(placed: PlacedAddress, links: ReadonlyMap<string, NetworkLink>): VirtualAddress {
    const link = links.get(placed.interfaceName);
    if (link === undefined) throw new Error(`no link was opened for interface ${placed.interfaceName}`);
    const announcements = new Announcements(() => this.announce(address), placed.rerouting);
    const address: VirtualAddress = { placed, link, announcements, holding: false, renewedAtMs: -Infinity, conflict: new ConflictRecord() };
    return address;
  }

  private prolong(address: VirtualAddress, kernel: readonly KernelAddress[]): void {
    const { placed } = address;
    const link = address.link.refresh();
    const expiresAtMs = this.expiresAtMs(address);
    if (performance.now() >= expiresAtMs || !isHeld(kernel, placed, link.index)) {
      this.lost(address);
      return;
    }
    prolongAddress(this.rtnetlink, placed, link, this.lifetimeSeconds, kernel);
    const nowMs = performance.now();
    // Paused between looking and prolonging, the kernel may have removed the address, and prolonging would have added it anew.
    if (nowMs >= expiresAtMs) {
      dropAddress(this.rtnetlink, placed);
      this.lost(address);
      return;
    }
    address.renewedAtMs = nowMs;
    // A route may have come meanwhile.
    this.prefer(placed, link);
  }

  /** A node whose connections leave from another address is better than one that does not serve. */
  private prefer(placed: PlacedAddress, link: KernelLink): void {
    if (!placed.isSource) return;
    try {
      preferAsSource(this.rtnetlink, placed, link);
      this.sourceFailing = false;
    } catch (error) {
      const message = 'HF_VIP_SOURCE_FAILED: connections of this node do not leave from the virtual address';
      if (!this.sourceFailing) this.log.warn(message, { ...named(placed), error: messageOf(error) });
      this.sourceFailing = true;
    }
  }

  /** The address expired or was removed by somebody else: it is not ours any more, `acquire` may take it again. */
  private lost(address: VirtualAddress): void {
    address.holding = false;
    address.announcements.stop();
    this.log.warn('virtual address vanished from the kernel', named(address.placed));
  }

  /** From then on the peer may have the address, even if the kernel is a little late in removing it. */
  private expiresAtMs(address: VirtualAddress): number {
    return address.renewedAtMs + this.lifetimeSeconds * 1000;
  }

  /** Whether the address may be announced or defended. @throws SystemCallFailed */
  private isOurs(address: VirtualAddress): boolean {
    return address.holding && performance.now() < this.expiresAtMs(address) && isHeld(this.rtnetlink.addresses(), address.placed);
  }

  private announce(address: VirtualAddress): void {
    try {
      if (!this.isOurs(address)) return;
      address.link.announce(address.placed.address);
    } catch (error) {
      this.log.warn('virtual address could not be announced', { ...named(address.placed), error: messageOf(error) });
    }
  }

  /** Takes what arrived on the sockets to whom it concerns: running probes, and held addresses that somebody else claims. */
  private receive(): void {
    const judged = new Set<VirtualAddress>();
    for (const link of this.links) {
      for (const claim of link.receive()) {
        const address = this.addresses.find((one) => one.link === link && one.placed.address.text === claim.address);
        if (address === undefined) continue;
        for (const answers of this.probes) answers.set(claim.address, formatMac(claim.mac));
        // One judgement per visit: a flood of claims costs no more than one claim.
        if (address.holding && !judged.has(address)) {
          judged.add(address);
          this.judge(address, claim);
        }
      }
    }
  }

  private judge(address: VirtualAddress, claim: Claim): void {
    try {
      const ownMac = this.rtnetlink.links().some((link) => link.hardwareAddress.equals(claim.mac));
      if (ownMac || !this.isOurs(address)) return;
    } catch (error) {
      this.log.warn('a claim for a virtual address could not be judged', { ...named(address.placed), error: messageOf(error) });
      return;
    }
    const nowMs = performance.now();
    const { mayDefend, report } = address.conflict.claimed(claim.mac, nowMs);
    if (!mayDefend && !report) return;
    const status: AddressStatus = { ...named(address.placed), state: 'conflict', otherOwner: formatMac(claim.mac) };
    const stepsBack = this.tell(status).includes('stepBack');
    if (stepsBack) {
      this.dropQuietly(address);
      address.holding = false;
      address.announcements.stop();
    } else if (mayDefend) {
      address.conflict.defended(nowMs);
      this.announce(address);
    }
    this.log.error('another host claims a virtual address', { ...status, defended: !stepsBack && mayDefend, steppedBack: stepsBack });
  }

  /** One visit to what is held: who claims it, and whether one who did is still there. */
  private look(): void {
    this.receive();
    for (const address of this.addresses) {
      if (!address.holding) continue;
      const due = address.conflict.next(performance.now());
      if (due === 'ask') this.askOther(address);
      if (due === 'over') this.conflictEnded(address);
    }
  }

  private askOther({ link, placed }: VirtualAddress): void {
    try {
      link.askOwnerOf(placed.address, this.rtnetlink.addresses());
    } catch (error) {
      this.log.warn('the other owner of a virtual address could not be asked', { ...named(placed), error: messageOf(error) });
    }
  }

  /** Clients that believed the other host would reach nobody until they ask again. */
  private conflictEnded(address: VirtualAddress): void {
    this.log.info('the other host is silent, the virtual address is announced again', named(address.placed));
    address.announcements.start();
    this.tell({ ...named(address.placed), state: 'held' });
  }

  private tell(status: AddressStatus): readonly ConflictVerdict[] {
    return this.conflictListeners.map((listener) => listener(status));
  }

  private dropQuietly(address: VirtualAddress): void {
    try {
      dropAddress(this.rtnetlink, address.placed);
    } catch (error) {
      this.log.warn('virtual address could not be removed', { ...named(address.placed), error: messageOf(error) });
    }
  }

  private stopWatching(): void {
    clearInterval(this.watch);
    this.watch = undefined;
    for (const { announcements } of this.addresses) announcements.stop();
  }

  private assertOpen(): void {
    if (this.closed) throw new HoldfastError('HF_VIP_CLOSED', 'these virtual addresses were closed');
  }
}

function named(placed: PlacedAddress): { readonly address: string; readonly interface: string } {
  return { address: placed.address.text, interface: placed.interfaceName };
}

function statusOf(placed: PlacedAddress, kernel: readonly KernelAddress[], otherOwner: string | undefined): AddressStatus {
  if (otherOwner !== undefined) return { ...named(placed), state: 'conflict', otherOwner };
  return { ...named(placed), state: isHeld(kernel, placed) ? 'held' : 'absent' };
}
