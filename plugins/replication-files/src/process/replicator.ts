/**
 * One replica, seen from the replicator's main thread: mounts, the TLS control connection, and the order of steps between them and the
 * data thread. Commands come one after the other (the agent's side sees to that), link events at any time.
 */
import { randomUUID } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { HoldfastError, messageOf, type ReplicationStatus, type Term, type VerifyOptions } from '@holdfast/sdk';
import type { Exclusion } from '../boundary/rules.js';
import { exclusionsDigest, noteOf } from '../configuration.js';
import {
  HOLDER_SOCKET_FD,
  type ControlCommand,
  type ControlReport,
  type ReplicatorOptions,
  type ResumePoint,
  type WantedPeer,
} from '../control.js';
import type { DataState } from '../data/messages.js';
import { Mounts } from '../fuse/mounts.js';
import type { Hello, Reply } from '../link/greeting.js';
import { connectLink, LinkServer, type LinkIdentity, type LinkSession } from '../link/session.js';
import { AgentAttention } from '../system/attention.js';
import { S_IFDIR } from '../system/constants.js';
import { PROTOCOL_VERSION } from '../wire/limits.js';
import { RetryDelay } from './retry-delay.js';
import { TreeMeasure } from './tree-measure.js';
import { DataThread, type UnsolicitedReport } from './data-thread.js';
import { VerifyRecord } from './verify-record.js';
import { isOlder, markOf, refusalOf } from './welcome.js';

/** How often the mounts are looked at. */
const MOUNTS_WATCH_MS = 500;
/** Pauses between attempts double up to the maximum: the peer usually listens a moment after it is first asked. */

type Failure = NonNullable<ReplicationStatus['failure']>;

export class Replicator {
  #options: ReplicatorOptions;
  readonly #identity: LinkIdentity;
  readonly #report: (report: ControlReport) => void;
  readonly #directories: readonly string[];
  readonly #mounts: Mounts;
  readonly #data: DataThread;
  #state: DataState = {
    role: 'stopped',
    link: 'none',
    inconsistent: false,
    image: undefined,
    canImage: undefined,
    journalSince: undefined,
    progress: undefined,
    lastResync: undefined,
    verifying: undefined,
  };
  #term: Term | undefined;
  #server: LinkServer | undefined;
  #session: LinkSession | undefined;
  /** Numbers link attempts, so that a late event of an old one is recognised. */
  #linkNumber = 0;
  /** Primary: the peer that is wanted. */
  #wanted: WantedPeer | undefined;
  #retry: NodeJS.Timeout | undefined;
  readonly #delay = new RetryDelay();
  #failure: Failure | undefined;
  readonly #measure = new TreeMeasure(
    () => ({ roots: this.#mounts.asides, exclusions: this.#exclusions }),
    () => this.#changed(),
  );
  readonly #watch: NodeJS.Timeout;
  readonly #onDataEnd: (error: Error) => void;
  readonly #verifications: VerifyRecord;
  readonly attention = new AgentAttention();

  constructor(
    { options, hasHolder, resume }: Extract<ControlCommand, { kind: 'open' }>,
    report: (report: ControlReport) => void,
    onDataEnd: (error: Error) => void,
  ) {
    this.#onDataEnd = onDataEnd;
    this.#options = options;
    this.#report = report;
    this.#identity = {
      module: options.module,
      localNode: options.localNode,
      peerNode: options.peerNode,
      key: Buffer.from(options.key, 'base64'),
    };
    mkdirSync(options.stateDirectory, { recursive: true, mode: 0o700 });
    this.#directories = options.directories.map(({ path }) => path);
    this.#mounts = new Mounts(options.directories, options.stateDirectory);
    if (resume === undefined) {
      this.#mounts.removeLeftovers();
      this.#mounts.check();
    } else this.#mounts.adopt(resume.role === 'primary' ? ['read-only', 'fuse'] : ['read-only']);
    this.#verifications = new VerifyRecord(options.stateDirectory, options.verifyEveryMs, (reason) => {
      this.#log('warn', reason);
    });
    const { localNode, stateDirectory, async, sync, lockTimeoutSeconds, resyncBytesPerSecondMax } = options;
    this.#data = new DataThread(
      {
        node: localNode,
        directories: this.#directories,
        stateDirectory,
        async,
        sync,
        exclusions: this.#exclusions,
        silenceMaxMs: lockTimeoutSeconds * 1000,
        resyncBytesPerSecondMax,
        attention: { shared: this.attention.shared, silenceMaxMs: options.agentSilenceMaxMs ?? Infinity },
        holderFd: hasHolder ? HOLDER_SOCKET_FD : undefined,
      },
      (message) => {
        this.#onData(message);
      },
      onDataEnd,
    );
    // An application must not work beside the replication: without its mount this process ends, and the agent hands over.
    this.#watch = setInterval(() => {
      const directory = this.#mounts.strayed();
      if (directory !== undefined) {
        onDataEnd(new HoldfastError('HF_REPLICATION_UNMOUNTED', `${directory} was unmounted or covered by somebody else`, { directory }));
      }
      this.#verifyWhenDue();
    }, MOUNTS_WATCH_MS);
  }

  get #exclusions(): readonly (readonly Exclusion[])[] {
    return this.#options.directories.map(({ exclusions }) => exclusions);
  }

  /** Goes on where a killed process was. @throws HoldfastError when that is not possible: this process must end then */
  async resume({ role, term, wanted, mayLack, verifyId }: ResumePoint): Promise<void> {
    this.#term = term;
    if (verifyId !== undefined) this.#verifications.lost(verifyId);
    if (role === 'secondary') {
      const { local } = this.#options;
      const endpoint = { address: local.address, port: local.port + 1 };
      await this.#data.run({ kind: 'become-secondary', backing: this.#mounts.asides, endpoint, mayLack, givenUp: undefined });
      await this.#listen();
    } else {
      await this.#data.run({ kind: 'resume-primary', backing: this.#mounts.asides, reconnects: wanted !== undefined });
      // A peer that has everything is told what may differ; nothing else is needed.
      const isPaired = this.#state.link !== 'none';
      if (wanted !== undefined) this.#wanted = isPaired ? { term: wanted.term, mode: 'journal' } : wanted;
      this.#attempt();
    }
    this.#changed();
  }

  async run(command: Exclude<ControlCommand, { kind: 'open' | 'close' | 'ping' | 'tick' }>): Promise<void> {
    switch (command.kind) {
      case 'become-primary':
        return this.#becomePrimary(command);
      case 'become-secondary':
        return this.#becomeSecondary(command);
      case 'connect-peer':
        if (this.#state.role !== 'primary' || this.#state.link === 'holding') {
          throw new HoldfastError('HF_REPLICATION_STATE', 'only a primary that is not holding connects to its peer');
        }
        this.#wanted = command;
        this.#attemptIn(this.#delay.first());
        return;
      case 'disconnect-peer':
        await this.#disconnect('the primary drops its peer');
        return;
      case 'continue-alone':
        await this.#data.run({ kind: 'continue-alone', base: command.base });
        this.#term = command.term;
        return;
      case 'refuse':
        return this.#data.run({ kind: 'refuse' });
      case 'verify':
        return this.#verify(command.verifyId, command.options);
      case 'cancel-verify':
        return this.#data.run({ kind: 'cancel-verify' });
      case 'limit':
        this.#options = { ...this.#options, ...command.limits };
        this.#verifications.reschedule(command.limits.verifyEveryMs);
        return this.#data.run({ kind: 'limit', resyncBytesPerSecondMax: command.limits.resyncBytesPerSecondMax });
      case 'stop':
        return this.#stop(command.force);
    }
  }

  async #verify(verifyId: string, { repair, bytesPerSecondMax }: VerifyOptions): Promise<void> {
    const limit = bytesPerSecondMax ?? this.#options.verifyBytesPerSecondMax;
    await this.#data.run({ kind: 'verify', verifyId, repair, bytesPerSecondMax: limit });
    this.#verifications.begun();
  }

  #verifyWhenDue(): void {
    const { role, link, verifying } = this.#state;
    if (role !== 'primary' || link !== 'connected' || verifying !== undefined || !this.#verifications.isDue) return;
    this.#log('info', 'both copies are compared, as it is configured');
    this.#verify(randomUUID(), { repair: false }).catch((error: unknown) => {
      this.#log('warn', `the comparison did not begin: ${messageOf(error)}`);
    });
  }

  /** Ends the thread and, whatever happens, leaves no mount. */
  async close(): Promise<void> {
    if (this.#state.role !== 'stopped') {
      await this.#data.run({ kind: 'refuse' });
      await this.#stop(true);
    }
    clearInterval(this.#watch);
    await this.#data.end();
  }

  async #becomePrimary(command: Extract<ControlCommand, { kind: 'become-primary' }>): Promise<void> {
    const { term, base, fresh, force, image } = command;
    const wasSecondary = this.#state.role === 'secondary';
    await this.#endServer();
    if (!wasSecondary) this.#mounts.checkContent();
    const backing = this.#mounts.mountAside();
    try {
      await this.#data.run({ kind: 'become-primary', backing, base, fresh, force, image });
      this.#mounts.mountReadOnly();
      await this.#data.run({ kind: 'serve', fuseFds: this.#directories.map((_, index) => this.#mounts.mountFuse(index, S_IFDIR)) });
    } catch (error) {
      await this.#rollBack(wasSecondary);
      throw error;
    }
    this.#directories.forEach((_, index) => {
      this.#mounts.tune(index, this.#options.sync);
    });
    this.#term = term;
    this.#failure = undefined;
    this.#changed();
  }

  async #becomeSecondary({ term, givenUp }: Extract<ControlCommand, { kind: 'become-secondary' }>): Promise<void> {
    if (this.#state.role === 'secondary') {
      this.#term = term;
      return;
    }
    this.#mounts.checkContent();
    const { local } = this.#options;
    const backing = this.#mounts.mountAside();
    try {
      await this.#data.run({
        ...{ kind: 'become-secondary', backing, mayLack: false, givenUp },
        endpoint: { address: local.address, port: local.port + 1 },
      });
      this.#mounts.mountReadOnly();
      this.#term = term;
      await this.#listen();
    } catch (error) {
      await this.#rollBack(false);
      throw error;
    }
    this.#failure = undefined;
    this.#changed();
  }

  /** After a failed change of role nothing stays half done: back to stopped. A secondary that was refused the promotion stays one. */
  async #rollBack(wasSecondary: boolean): Promise<void> {
    if (wasSecondary && this.#state.role === 'secondary') {
      await this.#listen();
      return;
    }
    await this.#mounts.uncover(true);
    await this.#data.run({ kind: 'stop' });
    this.#mounts.removeAside();
  }

  async #listen(): Promise<void> {
    this.#server = await LinkServer.listen(
      this.#options.local,
      this.#identity,
      (hello, keys) => this.#welcome(hello, keys),
      (session) => {
        this.#established(session);
      },
      (reason) => {
        this.#log('warn', `a connection was refused: ${reason}`);
      },
    );
  }

  /** Secondary: what a primary is answered. */
  async #welcome(hello: Hello, keys: LinkSession['keys']): Promise<Reply> {
    const { module } = this.#options;
    const here = { module, epoch: this.#term?.epoch ?? 0, directories: this.#directories, exclusions: exclusionsDigest(this.#exclusions) };
    const refusal = refusalOf(hello, here);
    if (refusal !== undefined) return refusal;
    this.#linkNumber += 1;
    this.#session?.close();
    this.#session = undefined;
    await this.#data.run({
      kind: 'expect',
      link: this.#linkNumber,
      keys: { sendKey: keys.toPrimary, receiveKey: keys.toSecondary, cookie: keys.cookie },
      generation: hello.generation,
      async: hello.async,
      isRestored: isOlder(this.#options.stateDirectory, hello),
    });
    return { welcome: true };
  }

  #established(session: LinkSession): void {
    const number = this.#linkNumber;
    this.#session = session;
    session.onEnd(() => {
      if (this.#linkNumber !== number) return;
      this.#session = undefined;
      const ended = new HoldfastError('HF_REPLICATION_LINK_LOST', 'the control connection ended');
      // The data thread says nothing of a link that it was told to drop: a primary that wants its peer tries again.
      void this.#data.run({ kind: 'drop-link', link: number, reason: ended.message }).then(() => {
        if (this.#linkNumber === number && this.#state.role === 'primary') this.#linkFailed(ended);
      });
    });
  }

  /** Primary: one attempt to reach the peer; a failed one is repeated until it is not wanted any more. */
  #attempt(): void {
    const wanted = this.#wanted;
    clearTimeout(this.#retry);
    if (wanted === undefined || this.#state.role !== 'primary') return;
    this.#linkNumber += 1;
    const number = this.#linkNumber;
    const { module, localNode, local, peer, async } = this.#options;
    const hello: Hello = {
      protocol: PROTOCOL_VERSION,
      module,
      node: localNode,
      epoch: wanted.term.epoch,
      generation: wanted.term.generation,
      async,
      mode: wanted.mode,
      roots: this.#directories,
      exclusions: exclusionsDigest(this.#exclusions),
      ...markOf(this.#options.stateDirectory),
    };
    this.#changed();
    connectLink(peer, this.#identity, hello, local.address)
      .then(async (session) => {
        if (this.#linkNumber !== number || this.#wanted !== wanted) {
          session.close();
          return;
        }
        this.#failure = undefined;
        this.#session?.close();
        this.#established(session);
        const { keys } = session;
        await this.#data.run({
          kind: 'connect',
          link: number,
          endpoint: { address: peer.address, port: peer.port + 1 },
          localAddress: local.address,
          keys: { sendKey: keys.toSecondary, receiveKey: keys.toPrimary, cookie: keys.cookie },
          generation: wanted.term.generation,
          mode: wanted.mode,
          reason: wanted.reason,
        });
      })
      .catch((error: unknown) => {
        if (this.#linkNumber === number) this.#linkFailed(error);
      });
  }

  #linkFailed(error: unknown): void {
    const isDeposed = error instanceof HoldfastError && error.details['code'] === 'deposed';
    const code = error instanceof HoldfastError ? error.code : 'HF_REPLICATION_SYSTEM';
    const message = messageOf(error).replace(`${code}: `, '');
    this.#setFailure(isDeposed ? 'HF_REPLICATION_DEPOSED' : code, message);
    this.#attemptIn(this.#delay.next());
  }

  #attemptIn(delayMs: number): void {
    if (this.#wanted === undefined) return;
    clearTimeout(this.#retry);
    if (delayMs === 0) {
      this.#failure = undefined;
      this.#attempt();
      return;
    }
    this.#retry = setTimeout(() => {
      this.#attempt();
    }, delayMs);
  }

  #setFailure(code: string, message: string): void {
    const sentence = message.startsWith(`${code}: `) ? message.slice(code.length + 2) : message;
    if (this.#failure?.code === code && this.#failure.message === sentence) return;
    this.#failure = { code, message: sentence };
    this.#log('warn', `the link is down: ${code}: ${sentence}`);
    this.#changed();
  }

  async #disconnect(reason: string): Promise<void> {
    this.#wanted = undefined;
    clearTimeout(this.#retry);
    const number = this.#linkNumber;
    this.#linkNumber += 1;
    await this.#data.run({ kind: 'drop-link', link: number, reason });
    this.#session?.close();
    this.#session = undefined;
    this.#changed();
  }

  async #endServer(): Promise<void> {
    this.#linkNumber += 1;
    this.#session?.close();
    this.#session = undefined;
    await this.#server?.close();
    this.#server = undefined;
  }

  async #stop(force: boolean): Promise<void> {
    if (this.#state.role === 'stopped') return;
    this.#wanted = undefined;
    clearTimeout(this.#retry);
    // What is detached under its users would never be written back.
    if (force && this.#state.role === 'primary' && this.#state.link !== 'holding') await this.#mounts.writeBack();
    await this.#mounts.uncover(force || this.#state.role === 'secondary');
    await this.#data.run({ kind: 'stop' });
    await this.#endServer();
    this.#measure.abort();
    this.#mounts.removeAside();
    this.#term = undefined;
    this.#failure = undefined;
    this.#changed();
  }

  #onData(message: UnsolicitedReport): void {
    switch (message.kind) {
      case 'log':
        this.#log(message.level, message.message);
        return;
      case 'state': {
        this.#state = message.state;
        if (message.state.link === 'connected') {
          this.#failure = undefined;
          this.#delay.connected();
        }
        // Who held asks the core first; a new link is wanted by a new connectPeer.
        if (message.state.link === 'holding') this.#wanted = undefined;
        if (message.state.link === 'connected') this.#measure.begin(message.state.lastResync);
        this.#changed();
        return;
      }
      case 'verified':
        this.#verifications.ended(message.outcome);
        this.#changed();
        return;
      case 'disk-failed':
        this.#onDataEnd(new HoldfastError('HF_REPLICATION_DISK', message.message));
        return;
      case 'link-lost': {
        if (message.link !== this.#linkNumber) return;
        this.#session?.close();
        this.#session = undefined;
        this.#setFailure(message.code, message.message);
        this.#delay.lost(message.code);
        if (this.#state.role === 'primary') this.#attemptIn(this.#delay.next());
        return;
      }
    }
  }

  #log(level: 'info' | 'warn' | 'error', message: string): void {
    this.#report({ kind: 'log', level, message });
  }

  #changed(): void {
    const { role, link, inconsistent, image, journalSince, progress, lastResync, verifying } = this.#state;
    const summary = this.#measure.complete(lastResync);
    const isConnecting = role === 'primary' && link === 'none' && this.#wanted !== undefined;
    const verification = this.#verifications.status(verifying, summary?.bytesInTree);
    const status: ReplicationStatus = {
      role,
      link: isConnecting ? 'connecting' : link,
      inconsistent,
      ...(image === undefined ? {} : { image }),
      ...(journalSince === undefined ? {} : { journalSince }),
      ...(progress === undefined ? {} : { progress }),
      ...(summary === undefined ? {} : { lastResync: summary }),
      ...(verification === undefined ? {} : { verification }),
      ...noteOf(this.#options.sync, this.#state.canImage),
      ...(this.#failure === undefined ? {} : { failure: this.#failure }),
    };
    this.#report({ kind: 'status', status });
  }
}
