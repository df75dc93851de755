/**
 * The virtual addresses of a mirror module between the moments when the automaton takes and releases them: renews their lifetime, gives
 * them up at once where the lease has ended and takes them again when it is back, announces them again after the nodes had lost each other,
 * answers conflicts with the verdict of arbitration, and tells the drivers whether the application serves and the automaton what the kernel
 * says.
 */
import type { AddressStatus, ConflictVerdict, Log, Readiness, VirtualIp } from '@holdfast/sdk';
import { messageOf } from '@holdfast/sdk';
import { isAlive, isLost } from '../decide/detector.js';
import { conflictVerdict, leaseEnd, type LeaseEnd, mustNotHold } from '../decide/mirror/address-lease.js';
import { serves } from '../decide/mirror/serving.js';
import type { MirrorState } from '../decide/mirror/types.js';
import type { ResourceValue } from '../model/resource.js';
import type { WriteLog } from './module-scripts.js';
import type { ResourceBook } from './resource-book.js';

/** Every how many ticks the addresses are compared with what the state wants. */
const VERIFY_TICKS = 20;
const DEADLINE_MS = 5000;

const ENDED: Readonly<Record<LeaseEnd, string>> = {
  undecided: 'the other node is not heard, and it is not decided who goes on',
  deposed: 'the other node is the primary',
};

export interface AddressParts {
  readonly addresses: readonly VirtualIp[];
  readonly resources: ResourceBook;
  readonly diagnostics: Log;
  readonly write: WriteLog;
  readonly state: () => MirrorState;
  readonly observed: (what: 'held' | 'absent') => void;
}

/** By a decision, not because a lease has ended: there clients keep their connections, for the case that the address is taken again. */
export async function releaseAddresses(addresses: readonly VirtualIp[], resetConnections: boolean): Promise<void> {
  await Promise.all(addresses.map((address) => address.release(AbortSignal.timeout(DEADLINE_MS), { resetConnections })));
}

export class AddressKeeper {
  private ticks = 0;
  private busy = false;
  private verifying = false;
  private givenUp = false;
  private peerWasLost = false;
  private serving = false;

  constructor(private readonly parts: AddressParts) {
    for (const address of parts.addresses) address.onConflict((status) => this.judge(status));
  }

  /** Before the decision of a tick. An address that was given up, or has vanished, is not brought back by this. */
  renew(): void {
    if (this.givenUp || !this.isWanted()) return;
    for (const address of this.parts.addresses) address.renew();
  }

  /** After the decision of a tick. */
  decided(): void {
    const { addresses, state } = this.parts;
    if (addresses.length === 0) return;
    this.ticks += 1;
    const { detector, nowMs } = state();
    const returned = this.peerWasLost && isAlive(detector, nowMs);
    this.peerWasLost = isLost(detector, nowMs) || (this.peerWasLost && !returned);
    if (!this.isHeldByState()) this.givenUp = false;
    else if (leaseEnd(state()) !== undefined) this.giveUp();
    else if (this.givenUp) this.takeAgain();
    else if (returned) this.announceAgain();
    const readiness = this.readiness();
    for (const address of addresses) address.ready?.(readiness);
    if (this.ticks % VERIFY_TICKS === 0) void (this.isAway() ? this.expel() : this.verify());
  }

  /** Taken, and not to be released. */
  private isWanted(): boolean {
    return this.isHeldByState() && leaseEnd(this.parts.state()) === undefined;
  }

  private isHeldByState(): boolean {
    return this.parts.state().addresses === 'acquired';
  }

  private giveUp(): void {
    if (this.givenUp) return;
    this.givenUp = true;
    const why = ENDED[leaseEnd(this.parts.state()) ?? 'deposed'];
    this.parts.write('C', 'vip', `the virtual addresses are given up: ${why}`);
    void this.change('given up', (address) => address.release(AbortSignal.timeout(DEADLINE_MS)));
  }

  private takeAgain(): void {
    if (this.busy || this.parts.state().sequence?.leaving === true) return;
    this.givenUp = false;
    this.parts.write('E', 'vip', 'it is decided that this node goes on: the virtual addresses are taken again');
    void this.change('taken again', (address) => address.acquire(AbortSignal.timeout(DEADLINE_MS)));
  }

  /** Some clients were on the other side of the cut, and may have believed the other node. */
  private announceAgain(): void {
    if (this.busy || this.parts.state().sequence?.leaving === true) return;
    void this.change('announced again', async (address) => {
      const found = await address.verify();
      const isHeld = found.every(({ state }) => state === 'held' || state === 'conflict');
      // What has vanished is taken by a decision only.
      if (isHeld && this.isWanted()) await address.acquire(AbortSignal.timeout(DEADLINE_MS));
    });
  }

  private async change(what: string, act: (address: VirtualIp) => Promise<void>): Promise<void> {
    this.busy = true;
    try {
      await Promise.all(this.parts.addresses.map(act));
    } catch (error) {
      this.parts.write('C', 'vip', `the virtual addresses could not be ${what}: ${messageOf(error)}`);
    } finally {
      this.busy = false;
    }
  }

  private judge(status: AddressStatus): ConflictVerdict {
    const { address, otherOwner } = status;
    const place = `${address} on ${status.interface}`;
    if (status.state !== 'conflict') {
      this.parts.write('E', 'vip', `virtual address conflict is over: ${place} is announced again`);
      return 'defend';
    }
    const verdict = conflictVerdict(this.parts.state());
    const deed = verdict === 'defend' ? 'defended' : 'given up, because it is not decided that this node is the primary';
    this.parts.write('C', 'vip', `virtual address conflict: ${place} is claimed by another host (${otherOwner ?? 'unknown'}): ${deed}`);
    return verdict;
  }

  private readiness(): Readiness {
    const state = this.parts.state();
    this.serving = !this.givenUp && serves(state, this.serving);
    const detail = `${state.phase} (${state.quality})`;
    return { isReady: this.serving, detail: this.givenUp ? `${detail}, and it is not decided that this node goes on` : detail };
  }

  /** Not while the engine itself takes or releases them. */
  private isAway(): boolean {
    return mustNotHold(this.parts.state()) && !this.busy;
  }

  /** Somebody has added an address here by hand, or an agent that died has left it: clients would find two nodes. */
  private async expel(): Promise<void> {
    try {
      for (const address of this.parts.addresses) {
        const found = (await address.verify()).filter(({ state }) => state === 'held');
        // Taking them over may have begun meanwhile; from here to the removal nothing waits.
        if (found.length === 0 || !this.isAway()) continue;
        const places = found.map((status) => `${status.address} on ${status.interface}`).join(', ');
        this.parts.write('C', 'vip', `${places} is on this node, which is ${this.parts.state().phase} and must not have it: removed`);
        await address.release(AbortSignal.timeout(DEADLINE_MS));
      }
    } catch (error) {
      this.parts.write('C', 'vip', `a virtual address that this node must not have could not be removed: ${messageOf(error)}`);
    }
  }

  private isSettled(): boolean {
    return this.isHeldByState() && this.parts.state().sequence === undefined && !this.givenUp && !this.busy;
  }

  private async verify(): Promise<void> {
    if (this.verifying || !this.isSettled()) return;
    this.verifying = true;
    try {
      const found = (await Promise.all(this.parts.addresses.map((address) => address.verify()))).flat();
      for (const { address, state } of found) {
        const value: ResourceValue = state === 'held' ? 'up' : state === 'unknown' ? 'unknown' : 'down';
        this.parts.resources.set(`ip.${address}`, value, state);
      }
      const observed = found.some(({ state }) => state === 'absent') ? 'absent' : 'held';
      if (this.isSettled()) this.parts.observed(observed);
    } catch (error) {
      this.parts.diagnostics.warn('virtual addresses could not be verified', { error: messageOf(error) });
    } finally {
      this.verifying = false;
    }
  }
}
