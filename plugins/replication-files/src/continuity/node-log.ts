/**
 * What the kernel knows of the mounted trees, as records of the node table's changes: replayed by the successor of a process that was
 * killed. Counts of lookups change most often and are words of their own, in place. When the log has become long it is written anew from
 * the table, beside the old one.
 *
 * A lookup is counted before its answer is sent. Which ones were counted for a request without an answer is written down too: the kernel
 * sends that request again, and it must not count twice.
 */
import type { Handle } from '../store/handle.js';
import { fallocate } from '../system/calls.js';
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE } from '../system/constants.js';
import * as at from './memory.js';
import type { ContinuityMemory } from './memory.js';

const TYPE = { met: 1, named: 2, unnamed: 3, gone: 4 } as const;
const ACTIVE = at.NODE_LOG_WORDS_AT;
/** One word for each of the two logs. */
const LENGTH = at.NODE_LOG_WORDS_AT + 1;
const COUNTED = at.COUNT_LOG_WORDS_AT;
const UNIQUE_LOW = at.COUNT_LOG_WORDS_AT + 1;
const UNIQUE_HIGH = at.COUNT_LOG_WORDS_AT + 2;
const COUNTED_MAX = Math.floor(at.COUNT_LOG_BYTES / 12);
const NODES_MAX = at.LOOKUPS_BYTES >> 2;
const GROWTH_BYTES_MIN = 64 << 20;
/** Headers of a record and the longest handle and name. */
const RECORD_BYTES_MAX = 1024;
const ROOT_BIT = 0x80000000;
/** No node has this number. */
const NO_NODE = 0;

/** A node that is not a root: its number; a root: its index. */
export type NodeRef = { readonly nodeId: number } | { readonly root: number };

export interface LoggedName {
  readonly parent: NodeRef;
  readonly name: Buffer;
}

export interface LoggedNode {
  readonly nodeId: number;
  readonly generation: number;
  readonly handle: Handle;
  readonly names: readonly LoggedName[];
  lookups: number;
}

export interface Replayed {
  readonly nodes: readonly LoggedNode[];
  readonly generation: number;
  /** Nodes that were counted for requests that may come again, by the request's number. */
  readonly counted: ReadonlyMap<string, readonly number[]>;
}

export class NodeLog {
  readonly #memory: ContinuityMemory;
  readonly #header: Uint32Array<ArrayBuffer>;
  readonly #lookups: Uint32Array<ArrayBuffer>;
  readonly #counted: Uint32Array<ArrayBuffer>;
  readonly #snapshot: () => Iterable<LoggedNode>;
  #words: Uint32Array<ArrayBuffer>;
  #bytes: Buffer<ArrayBuffer>;
  /** Which of the two is written. */
  #log: number;
  #end: number;
  #rewriteAt = GROWTH_BYTES_MIN;

  /** @param snapshot every node of the table as it is now */
  constructor(memory: ContinuityMemory, snapshot: () => Iterable<LoggedNode>) {
    this.#memory = memory;
    this.#header = memory.header;
    this.#lookups = memory.words(at.LOOKUPS_AT, at.LOOKUPS_BYTES);
    this.#counted = memory.words(at.COUNT_LOG_AT, at.COUNT_LOG_BYTES);
    this.#snapshot = snapshot;
    this.#log = this.#header[ACTIVE] as number;
    [this.#words, this.#bytes] = views(memory, this.#log);
    this.#end = this.#header[LENGTH + this.#log] as number;
    this.#rewriteAt = this.#end + GROWTH_BYTES_MIN;
  }

  met(nodeId: number, generation: number, handle: Handle, parent: NodeRef, name: Uint8Array): void {
    if (nodeId >= NODES_MAX) this.#memory.giveUp();
    if (this.#hasRoom()) this.#met(nodeId, generation, handle, parent, name);
  }

  metUnnamed(nodeId: number, generation: number, handle: Handle): void {
    this.met(nodeId, generation, handle, NOWHERE, NOTHING);
  }

  #met(nodeId: number, generation: number, handle: Handle, parent: NodeRef, name: Uint8Array): void {
    const words = this.#words;
    const w = this.#end >> 2;
    words[w + 1] = nodeId;
    words[w + 2] = generation;
    words[w + 3] = wordOf(parent);
    words[w + 4] = handle.length | (name.length << 16);
    let to = this.#end + 20;
    for (let index = 0; index < handle.length; index += 1) this.#bytes[to + index] = handle.charCodeAt(index);
    to += handle.length;
    this.#bytes.set(name, to);
    this.#commit(TYPE.met, to + name.length);
  }

  named(nodeId: number, parent: NodeRef, name: Uint8Array): void {
    if (!this.#hasRoom()) return;
    const w = this.#end >> 2;
    this.#words[w + 1] = nodeId;
    this.#words[w + 2] = wordOf(parent);
    this.#words[w + 3] = name.length;
    this.#bytes.set(name, this.#end + 16);
    this.#commit(TYPE.named, this.#end + 16 + name.length);
  }

  /** @param index in the order in which the node's names were added */
  unnamed(nodeId: number, index: number): void {
    if (!this.#hasRoom()) return;
    const w = this.#end >> 2;
    this.#words[w + 1] = nodeId;
    this.#words[w + 2] = index;
    this.#commit(TYPE.unnamed, this.#end + 12);
  }

  gone(nodeId: number): void {
    if (!this.#hasRoom()) return;
    this.#words[(this.#end >> 2) + 1] = nodeId;
    this.#commit(TYPE.gone, this.#end + 8);
  }

  lookups(nodeId: number, count: number): void {
    this.#lookups[nodeId] = count;
  }

  /** From now on lookups are counted for this request. */
  serving(uniqueLow: number, uniqueHigh: number): void {
    this.#header[UNIQUE_LOW] = uniqueLow;
    this.#header[UNIQUE_HIGH] = uniqueHigh;
  }

  counted(nodeId: number): void {
    const count = this.#header[COUNTED] as number;
    // Beyond, a count may stay too high: a node that lives as long as the mount, nothing worse.
    if (count >= COUNTED_MAX) return;
    const entry = count * 3;
    this.#counted[entry] = this.#header[UNIQUE_LOW] as number;
    this.#counted[entry + 1] = this.#header[UNIQUE_HIGH] as number;
    this.#counted[entry + 2] = nodeId;
    Atomics.store(this.#header, COUNTED, count + 1);
  }

  /** What was counted for a request that has come again does not count any more: for this process's own successor neither. */
  recounts(uniqueLow: number, uniqueHigh: number): void {
    const high = uniqueHigh & 0x7fffffff;
    for (let entry = 3 * (this.#header[COUNTED] as number) - 3; entry >= 0; entry -= 3) {
      const isSame = this.#counted[entry] === uniqueLow >>> 0 && ((this.#counted[entry + 1] as number) & 0x7fffffff) === high;
      if (isSame) this.#counted[entry + 2] = NO_NODE;
    }
  }

  /** Every request that was served has its answer. */
  answered(): void {
    if (this.#header[COUNTED] !== 0) Atomics.store(this.#header, COUNTED, 0);
  }

  #hasRoom(): boolean {
    if (this.#end >= this.#rewriteAt) this.rewrite();
    if (this.#end + RECORD_BYTES_MAX <= at.NODE_LOG_BYTES) return true;
    this.#memory.giveUp();
    return false;
  }

  #commit(type: number, end: number): void {
    const aligned = (end + 3) & ~3;
    this.#words[this.#end >> 2] = (type << 24) | (aligned - this.#end);
    this.#end = aligned;
    Atomics.store(this.#header, LENGTH + this.#log, aligned);
  }

  /** Into the other log, which counts once it is complete. */
  rewrite(): void {
    const before = this.#log;
    this.#rewriteAt = Number.MAX_SAFE_INTEGER;
    this.#use(1 - before);
    this.#end = 0;
    for (const { nodeId, generation, handle, names, lookups } of this.#snapshot()) {
      this.lookups(nodeId, lookups);
      this.#met(nodeId, generation, handle, names[0]?.parent ?? NOWHERE, names[0]?.name ?? NOTHING);
      for (const { parent, name } of names.slice(1)) this.named(nodeId, parent, name);
    }
    Atomics.store(this.#header, ACTIVE, this.#log);
    this.#rewriteAt = 2 * this.#end + GROWTH_BYTES_MIN;
    fallocate(this.#memory.fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, at.NODE_LOG_AT + before * at.NODE_LOG_BYTES, at.NODE_LOG_BYTES);
  }

  #use(log: number): void {
    this.#log = log;
    [this.#words, this.#bytes] = views(this.#memory, log);
  }
}

/** What the log of a killed process says. @throws when a record is not one: then nothing of it counts */
export function replayNodes(memory: ContinuityMemory): Replayed {
  const { header } = memory;
  const active = header[ACTIVE] as number;
  const end = header[LENGTH + active] as number;
  const [words, bytes] = views(memory, active);
  const lookups = memory.words(at.LOOKUPS_AT, at.LOOKUPS_BYTES);
  const nodes = new Map<number, LoggedNode & { readonly names: LoggedName[] }>();
  let generation = 0;
  for (let from = 0; from < end; ) {
    const w = from >> 2;
    const word = (offset: number): number => words[w + offset] as number;
    const type = word(0) >>> 24;
    const length = word(0) & 0xffffff;
    if (length < 8 || from + length > end) throw new Error(`a record of ${length} bytes at ${from}`);
    const nodeId = word(1);
    switch (type) {
      case TYPE.met: {
        const handleBytes = word(4) & 0xffff;
        const nameAt = from + 20 + handleBytes;
        const names: LoggedName[] = [];
        if (word(4) >>> 16 > 0)
          names.push({ parent: refOf(word(3)), name: Buffer.from(bytes.subarray(nameAt, nameAt + (word(4) >>> 16))) });
        const handle = bytes.toString('latin1', from + 20, nameAt);
        generation = Math.max(generation, word(2));
        nodes.set(nodeId, { nodeId, generation: word(2), handle, names, lookups: lookups[nodeId] ?? 0 });
        break;
      }
      case TYPE.named: {
        const name = Buffer.from(bytes.subarray(from + 16, from + 16 + word(3)));
        known(nodes, nodeId).names.push({ parent: refOf(word(2)), name });
        break;
      }
      case TYPE.unnamed:
        known(nodes, nodeId).names.splice(word(2), 1);
        break;
      case TYPE.gone:
        known(nodes, nodeId);
        nodes.delete(nodeId);
        break;
      default:
        throw new Error(`record type ${type} at ${from}`);
    }
    from += length;
  }
  return { nodes: [...nodes.values()], generation, counted: countedOf(memory) };
}

function known<T>(nodes: ReadonlyMap<number, T>, nodeId: number): T {
  const node = nodes.get(nodeId);
  if (node === undefined) throw new Error(`node ${nodeId} was never met`);
  return node;
}

function countedOf(memory: ContinuityMemory): Map<string, number[]> {
  const entries = memory.words(at.COUNT_LOG_AT, at.COUNT_LOG_BYTES);
  const counted = new Map<string, number[]>();
  for (let index = 0; index < (memory.header[COUNTED] as number); index += 1) {
    if (entries[index * 3 + 2] === NO_NODE) continue;
    const key = requestKey(entries[index * 3] as number, entries[index * 3 + 1] as number);
    const nodes = counted.get(key);
    if (nodes === undefined) counted.set(key, [entries[index * 3 + 2] as number]);
    else nodes.push(entries[index * 3 + 2] as number);
  }
  return counted;
}

/** What a successor has not served again yet counts for its own successor too. */
export function copyCounted(from: ContinuityMemory, to: ContinuityMemory): void {
  const count = from.header[COUNTED] as number;
  to.words(at.COUNT_LOG_AT, count * 12).set(from.words(at.COUNT_LOG_AT, count * 12));
  to.header[COUNTED] = count;
}

/** The number of a request, the same when it comes again. */
export function requestKey(uniqueLow: number, uniqueHigh: number): string {
  return `${uniqueHigh & 0x7fffffff}:${uniqueLow}`;
}

const NOTHING = Buffer.alloc(0);
const NOWHERE: NodeRef = { root: 0 };

function wordOf(ref: NodeRef): number {
  return 'root' in ref ? (ROOT_BIT | ref.root) >>> 0 : ref.nodeId;
}

function refOf(word: number): NodeRef {
  return word >= ROOT_BIT ? { root: word - ROOT_BIT } : { nodeId: word };
}

function views(memory: ContinuityMemory, log: number): [Uint32Array<ArrayBuffer>, Buffer<ArrayBuffer>] {
  const start = at.NODE_LOG_AT + log * at.NODE_LOG_BYTES;
  return [memory.words(start, at.NODE_LOG_BYTES), memory.bytes(start, at.NODE_LOG_BYTES)];
}
