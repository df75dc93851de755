/**
 * The clusters of a running server: who may connect, with which records, how often. Everything about one cluster is in one entry, and an
 * entry is found only by the name that a connection has proved; so no request can reach the records of another cluster.
 */
import { join } from 'node:path';
import { HoldfastError, type Log, messageOf } from '@holdfast/sdk';
import { clusterNames, clustersOf, currentKey, currentVersion } from './folder.js';
import { RecordStore } from './record-store.js';

/** Questions of one cluster: so many at once, then so many per second. A node asks every few seconds and module. */
const BURST = 2_000;
const PER_SECOND = 200;

/** One cluster from its addition to its removal. */
export class Membership {
  lastUse: Date | undefined;
  /** Its last question that wanted to write could not be answered. */
  failing = false;
  readonly store: Promise<RecordStore>;
  #tokens = BURST;
  #countedMs = performance.now();

  constructor(
    readonly cluster: string,
    readonly version: string,
    directory: string,
    log: Log,
  ) {
    this.store = RecordStore.open(directory, log);
    // Whoever asks meets the error; nobody may ever ask.
    this.store.catch((error: unknown) => log.error(messageOf(error), { cluster }));
  }

  /** Counts one question; false: too many. */
  use(): boolean {
    const nowMs = performance.now();
    this.#tokens = Math.min(BURST, this.#tokens + ((nowMs - this.#countedMs) / 1_000) * PER_SECOND);
    this.#countedMs = nowMs;
    this.lastUse = new Date();
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}

export class Clusters {
  readonly #memberships = new Map<string, Membership>();

  constructor(
    private readonly dataDirectory: string,
    private readonly log: Log,
  ) {}

  /** @throws HoldfastError HF_WITNESS_STATE that names every damaged file: a witness that begins empty would be believed */
  async openAll(): Promise<void> {
    const problems: string[] = [];
    for (const name of await clusterNames(this.dataDirectory)) {
      try {
        const membership = this.find(name)?.membership;
        if (membership === undefined) throw new Error(`${join(clustersOf(this.dataDirectory), name)} is no cluster: it has no key`);
        await membership.store;
      } catch (error) {
        problems.push(error instanceof HoldfastError ? error.message.slice(error.code.length + 2) : messageOf(error));
      }
    }
    if (problems.length === 0) return;
    const ways = 'restore them from a backup that nothing was granted after, or remove the cluster and add it again with a new key';
    throw new HoldfastError('HF_WITNESS_STATE', `${problems.join('; ')}. Nothing is served until they are whole: ${ways}`, { problems });
  }

  get size(): number {
    return this.#memberships.size;
  }

  all(): readonly Membership[] {
    return [...this.#memberships.values()];
  }

  /** For the handshake: the key that the name must prove. Reads the disk. */
  find(name: string): { readonly key: Buffer; readonly membership: Membership } | undefined {
    const current = currentKey(this.dataDirectory, name);
    if (current === undefined) {
      this.#memberships.delete(name);
      return undefined;
    }
    const known = this.#memberships.get(name);
    if (known?.version === current.version) return { key: current.key, membership: known };
    const membership = new Membership(name, current.version, join(clustersOf(this.dataDirectory), name), this.log);
    this.#memberships.set(name, membership);
    return { key: current.key, membership };
  }

  /** Whether a connection that was made before may still ask: its cluster was not removed, nor added anew. */
  isCurrent(membership: Membership): boolean {
    if (currentVersion(this.dataDirectory, membership.cluster) === membership.version) return true;
    if (this.#memberships.get(membership.cluster) === membership) this.#memberships.delete(membership.cluster);
    return false;
  }

  /** Resolves when nothing is being written. */
  async idle(): Promise<void> {
    for (const { store } of this.all()) await store.then((opened) => opened.idle()).catch(() => undefined);
  }
}
