/**
 * What makes a primary survive its process: it records in memory, and gives to the holder, all that its successor needs to serve the
 * kernel as if nothing had happened. See memory.ts, node-log.ts, recent-log.ts and custody.ts for the parts.
 *
 * A successor always begins with a memory of its own and gives it away when it is complete: at every moment one of the two is whole.
 */
import type { DirtySet } from '../journal/dirty-set.js';
import { messageOf } from '@holdfast/sdk';
import { KIND, type Custody, type Kept } from './custody.js';
import { ExchangeLog } from './exchange-log.js';
import { ContinuityMemory } from './memory.js';
import { copyCounted, replayNodes, type Replayed } from './node-log.js';
import { replayRecent } from './recent-log.js';

/** Ids below belong to the roots. */
const OBJECT_ID_MIN = 256;

/** A request of the kernel: the number is the same when it is sent again. */
export interface RequestName {
  readonly root: number;
  readonly uniqueLow: number;
  readonly uniqueHigh: number;
}

/** The kernel sends a request again whose answer it did not get: it may have been carried out already. */
export function isRepeated(request: { readonly uniqueHigh: number }): boolean {
  return request.uniqueHigh >>> 31 === 1;
}

/** What a predecessor left. */
export interface Inheritance {
  readonly memory: ContinuityMemory;
  readonly nodes: Replayed;
  readonly recent: DirtySet;
  /** Descriptors of /dev/fuse, by root. */
  readonly devices: readonly number[];
  /** Objects whose last name is gone, by node. */
  readonly orphans: ReadonlyMap<number, KeptObject>;
  /** Objects that have no name yet, by node. */
  readonly unnamed: ReadonlyMap<number, KeptObject>;
}

/** A descriptor that keeps an object alive. */
export interface KeptObject {
  readonly generation: number;
  readonly fd: number;
}

export class Continuity {
  readonly memory: ContinuityMemory;
  readonly exchanges: ExchangeLog;
  readonly #custody: Custody;
  readonly #scratch = Buffer.alloc(8);

  private constructor(memory: ContinuityMemory, custody: Custody) {
    this.memory = memory;
    this.exchanges = new ExchangeLog(memory);
    this.#custody = custody;
  }

  /** @returns undefined when the system gives no such memory: then nothing survives */
  static begin(custody: Custody, heirOf?: Inheritance): Continuity | undefined {
    const memory = ContinuityMemory.create();
    if (memory === undefined) return undefined;
    const continuity = new Continuity(memory, custody);
    if (heirOf !== undefined) {
      // The objects that a repeated request makes have the ids that they would have had.
      memory.secrets.set(heirOf.memory.secrets);
      memory.isPaired = heirOf.memory.isPaired;
      memory.kernelResends();
      memory.fuseFeatures = heirOf.memory.fuseFeatures;
      copyCounted(heirOf.memory, memory);
      continuity.exchanges.copyFrom(new ExchangeLog(heirOf.memory));
    }
    return continuity;
  }

  /** @returns what a predecessor left, or why nothing can be made of it */
  static inherit(custody: Custody, roots: number): Inheritance | string {
    const kept = custody.list();
    if (kept === undefined) return 'the holder does not answer, or could not keep everything';
    const memoryFd = kept.find(({ kind }) => kind === KIND.memory)?.fd;
    const memory = memoryFd === undefined ? undefined : ContinuityMemory.adopt(memoryFd);
    const devices = kept.filter(({ kind }) => kind === KIND.device).sort((a, b) => a.number - b.number);
    if (memory === undefined) return 'what the kernel knows was not recorded (Linux 6.9 or later is needed)';
    if (devices.length !== roots) return `the holder has ${devices.length} of ${roots} devices`;
    try {
      return {
        memory,
        nodes: replayNodes(memory),
        recent: replayRecent(memory),
        devices: devices.map(({ fd }) => fd),
        orphans: objectsOf(kept, KIND.orphan),
        unnamed: objectsOf(kept, KIND.unnamed),
      };
    } catch (error) {
      return `what was recorded is damaged: ${messageOf(error)}`;
    }
  }

  /** From now on a successor finds this memory, and no other. */
  publish(): void {
    this.#orGiveUp(this.#custody.keep(KIND.memory, 0, 0, this.memory.fd));
  }

  keepDevice(root: number, fd: number): void {
    this.#orGiveUp(this.#custody.keep(KIND.device, root, 0, fd));
  }

  keepOrphan(nodeId: number, generation: number, fd: number): void {
    this.#orGiveUp(this.#custody.keep(KIND.orphan, nodeId, generation, fd));
  }

  dropOrphan(nodeId: number, generation: number): void {
    this.#orGiveUp(this.#custody.drop(KIND.orphan, nodeId, generation));
  }

  keepUnnamed(nodeId: number, generation: number, fd: number): void {
    this.#orGiveUp(this.#custody.keep(KIND.unnamed, nodeId, generation, fd));
  }

  dropUnnamed(nodeId: number, generation: number): void {
    this.#orGiveUp(this.#custody.drop(KIND.unnamed, nodeId, generation));
  }

  /** Nothing is served any more. */
  end(): void {
    this.memory.giveUp();
    this.#custody.dropAll();
    this.memory.release();
  }

  /** The id of what this request creates: a permutation of the request's number, so that a repeated request gives the same. */
  objectId({ root, uniqueLow, uniqueHigh }: RequestName): bigint {
    const keys = this.memory.secrets;
    let left = uniqueLow >>> 0;
    let right = uniqueHigh & 0x7fffffff;
    for (let round = 0; round < 6; round += 1) {
      const mixed = mix(right ^ (keys[round & 3] as number) ^ Math.imul(root * 8 + round + 1, 0x9e3779b1));
      [left, right] = [right, (left ^ mixed) >>> 0];
    }
    this.#scratch.writeUInt32LE(left < OBJECT_ID_MIN && right === 0 ? left + OBJECT_ID_MIN : left, 0);
    this.#scratch.writeUInt32LE(right, 4);
    return this.#scratch.readBigUInt64LE(0);
  }

  #orGiveUp(isKept: boolean): void {
    if (!isKept) this.memory.giveUp();
  }
}

function objectsOf(kept: readonly Kept[], kind: number): Map<number, KeptObject> {
  return new Map(kept.filter((each) => each.kind === kind).map(({ number, generation, fd }) => [number, { generation, fd }]));
}

/** Finalizer of MurmurHash3. */
function mix(value: number): number {
  let h = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
