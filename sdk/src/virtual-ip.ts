/**
 * Virtual addresses: what the clients connect to. `acquire` takes them on this node and announces them; they must disappear by
 * themselves when the agent stops calling `renew` (dead-man lifetime). Every method is idempotent and verifies what it did.
 */
import type { Log, ElementValue } from './plugin.js';

export interface VirtualIpOptions {
  readonly module: string;
  readonly localNode: string;
  /** The element of userconfig.xml that the driver contributed, validated. */
  readonly configuration: ElementValue;
  /** Real addresses of this node, IP literals: lets a driver find the interface of a subnet. */
  readonly localAddresses: readonly string[];
  /** Real addresses of the other nodes of the cluster, IP literals. Absent: not known. */
  readonly peerAddresses?: readonly string[];
  /** How long an address may outlive its agent, milliseconds; at most the peer's detection time. */
  readonly lifetimeMs: number;
  readonly log: Log;
}

export type AddressState = 'held' | 'absent' | 'conflict' | 'unknown';

export interface AddressStatus {
  readonly address: string;
  readonly interface: string;
  readonly state: AddressState;
  /** On a conflict: the hardware address of the other host. */
  readonly otherOwner?: string;
}

/** Who the address belongs to, by arbitration: this node answers the claim, or gives the address up at once. */
export type ConflictVerdict = 'defend' | 'stepBack';

/** Whether the application of the module serves on this node, for a driver that clients come through. */
export interface Readiness {
  readonly isReady: boolean;
  /** One line for people: what the module is here, for example `SECOND (Ready)`. */
  readonly detail: string;
}

export interface ReleaseOptions {
  /**
   * TCP connections of the addresses are reset before those leave, so that clients learn it at once. Best-effort and bounded: what prevents
   * it is logged and holds nothing up.
   */
  readonly resetConnections?: boolean;
}

export interface VirtualIp {
  /**
   * Asks the network who owns the addresses, without taking them. Waits at most about 200 ms.
   * 'conflict' = another host answers; 'held' = this host has it; 'absent' = nobody answered.
   */
  probe(signal: AbortSignal): Promise<readonly AddressStatus[]>;
  /**
   * Adds the addresses with their lifetime, those that are held too, and announces all of them at once and repeatedly. Resolves when the
   * kernel holds them.
   */
  acquire(signal: AbortSignal): Promise<void>;
  /** Prolongs the lifetime of held addresses; cheap, called several times per lifetime by the decision loop. Adds nothing. */
  renew(): void;
  /**
   * Optional, for a driver that must not let clients in before the application serves. Told after every decision, several times per
   * lifetime and from the first on, also while the addresses are released: ready when they are acquired, the start scripts have ended and
   * nothing is being stopped. Cheap, idempotent, never throws: what fails is said in `verify` and in the log.
   */
  ready?(readiness: Readiness): void;
  /** What the kernel and the network say now. */
  verify(): Promise<readonly AddressStatus[]>;
  /** Removes the addresses and checks that they are gone. @throws HoldfastError when one stays. */
  release(signal: AbortSignal, options?: ReleaseOptions): Promise<void>;
  /**
   * Another host claimed a held address (state 'conflict', at most about once a second), or the one that did has gone silent and the
   * address was announced again ('held'). The answer to a conflict is the verdict: an address that steps back is removed from this node.
   */
  onConflict(listener: (status: AddressStatus) => ConflictVerdict): void;
  /** Stops watching; does not release. */
  close(): Promise<void>;
}

export interface VirtualIpDriver {
  /**
   * Optional: the addresses that a configuration names, IP literals in canonical form. The core refuses one that two modules of a node
   * name. Pure.
   * @throws HoldfastError for a configuration that `create` would refuse; `details.pointer` and `details.attribute` say where
   */
  addresses?(configuration: ElementValue): readonly string[];
  /**
   * @throws HoldfastError when no interface suits an address, or anything else that acquiring needs is missing: what could stop a takeover
   * is found here. Takes no address and lets no client in.
   */
  create(options: VirtualIpOptions): Promise<VirtualIp>;
  /**
   * Optional: what the driver has against an element that its schema accepts; touches nothing.
   * @throws HoldfastError; `details.pointer` (of the child, for example `/probe/0`) and `details.attribute` say where
   */
  examine?(configuration: ElementValue): void;
}
