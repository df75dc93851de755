/**
 * A replica whose process may die: the module goes on with a new one. Nothing is lost by that (what the dead process had not acknowledged
 * was
 * never acknowledged), but its mounts are dead until a new process cleans them, which is the first thing that it does. So the replica is
 * opened again as soon as the module lets go of it, or wants a role again.
 */
import type {
  ConflictStore,
  ElementValue,
  Log,
  Replica,
  ReplicationBackend,
  ReplicationOptions,
  ReplicationStatus,
  ResyncMode,
  Term,
  VerifyOptions,
} from '@holdfast/sdk';
import { HoldfastError, messageOf } from '@holdfast/sdk';

/** Failure code of a backend whose process is gone. */
const PROCESS_GONE = 'HF_REPLICATION_PROCESS';

export class ReplicaKeeper implements Replica {
  private readonly listeners: ((status: ReplicationStatus) => void)[] = [];
  private closed = false;

  private constructor(
    private readonly backend: ReplicationBackend,
    private options: ReplicationOptions,
    private readonly log: Log,
    private current: Replica,
  ) {
    this.follow(current);
  }

  static async open(backend: ReplicationBackend, options: ReplicationOptions): Promise<ReplicaKeeper> {
    return new ReplicaKeeper(backend, options, options.log, await backend.open(options));
  }

  private follow(replica: Replica): void {
    replica.onStatus((status) => {
      if (this.current === replica) this.tell(status);
    });
  }

  private tell(status: ReplicationStatus): void {
    for (const listener of this.listeners) listener(status);
  }

  private get isGone(): boolean {
    return this.current.status().failure?.code === PROCESS_GONE;
  }

  /** A living replica. @throws what the backend's `open` throws */
  private async living(): Promise<Replica> {
    if (!this.isGone || this.closed) return this.current;
    this.log.warn('the replicator has ended and is started anew');
    await this.current.close().catch((error: unknown) => {
      this.log.warn('the ended replicator could not be closed', { error: messageOf(error) });
    });
    const replica = await this.backend.open(this.options);
    this.current = replica;
    this.follow(replica);
    this.tell(replica.status());
    return replica;
  }

  get conflicts(): ConflictStore | undefined {
    return this.current.conflicts;
  }

  status(): ReplicationStatus {
    return this.current.status();
  }

  onStatus(listener: (status: ReplicationStatus) => void): void {
    this.listeners.push(listener);
  }

  async becomePrimary(term: Term, options: { base: string; fresh: boolean; force: boolean }): Promise<void> {
    return (await this.living()).becomePrimary(term, options);
  }

  async becomeSecondary(term: Term, options?: { givenUp?: string }): Promise<void> {
    return (await this.living()).becomeSecondary(term, options);
  }

  connectPeer(term: Term, mode: ResyncMode, reason?: string): void {
    this.current.connectPeer(term, mode, reason);
  }

  disconnectPeer(): void {
    this.current.disconnectPeer();
  }

  continueAlone(term: Term, options: { base: string }): Promise<void> {
    return this.current.continueAlone(term, options);
  }

  tick(): void {
    this.current.tick?.();
  }

  refuse(): void {
    this.current.refuse();
  }

  async verify(options: VerifyOptions): Promise<string> {
    const replica = this.current;
    if (replica.verify === undefined)
      throw new HoldfastError('HF_COMMAND_UNSUPPORTED', 'this kind of replication cannot compare its copies');
    return replica.verify(options);
  }

  async cancelVerify(): Promise<void> {
    await this.current.cancelVerify?.();
  }

  /** A successor of a dead process begins with the new values too. */
  async reconfigure(configuration: ElementValue): Promise<void> {
    this.options = { ...this.options, configuration };
    await this.current.reconfigure?.(configuration);
  }

  async stop(options: { force: boolean }): Promise<void> {
    return (await this.living()).stop(options);
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.current.close();
  }
}
