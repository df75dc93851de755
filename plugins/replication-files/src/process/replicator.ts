/**
 * One replica, seen from the replicator's main thread: mounts, the TLS control connection, and the order of steps between them and the
 * data thread. Commands come one after the other (the agent's side sees to that), link events at any time.
 */
import { randomUUID } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import {
  HoldfastError,
  messageOf,
  type ReplicationStatus,
  type ResyncMode,
  type ResyncSummary,
  type Term,
  type VerifyOptions,
} from '@holdfast/sdk';
import type { Exclusion } from '../boundary/rules.js';
import { exclusionsDigest } from '../configuration.js';
import type { ControlCommand, ControlReport, ReplicatorOptions } from '../control.js';
import type { DataState } from '../data/messages.js';
import { Mounts } from '../fuse/mounts.js';
import type { Hello, Reply } from '../link/greeting.js';
import { connectLink, LinkServer, type LinkIdentity, type LinkSession } from '../link/session.js';
import { S_IFDIR } from '../system/constants.js';
import { PROTOCOL_VERSION } from '../wire/limits.js';
import { treeBytes } from './tree-size.js';
import { DataThread, type UnsolicitedReport } from './data-thread.js';
import { VerifyRecord } from './verify-record.js';

/** Pauses between attempts double up to the maximum: the peer usually listens a moment after it is first asked. */
/** How often the mounts are looked at. */
const WATCH_MS = 500;
const RETRY_MIN_MS = 50;
const RETRY_MAX_MS = 1000;

type Failure = NonNullable<ReplicationStatus['failure']>;

export class Replicator {
  readonly #options: ReplicatorOptions;
  readonly #identity: LinkIdentity;
  readonly #report: (report: ControlReport) => void;
  readonly #directories: readonly string[];
  readonly #mounts: Mounts;
  readonly #data: DataThread;
  #state: DataState = {
    role: 'stopped',
    link: 'none',
    inconsistent: false,
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
  #wanted: { readonly term: Term; readonly mode: ResyncMode; readonly reason: string | undefined } | undefined;
  #retry: NodeJS.Timeout | undefined;
  #retryMs = RETRY_MIN_MS;
  #failure: Failure | undefined;
  /** Size of the tree when the last journal resync had finished, once it is known. */
  #measured: { readonly resync: ResyncSummary; readonly bytes: number } | undefined;
  #measuring: AbortController | undefined;
  readonly #watch: NodeJS.Timeout;
  readonly #onDataEnd: (error: Error) => void;
  readonly #verifications: VerifyRecord;

  constructor(options: ReplicatorOptions, report: (report: ControlReport) => void, onDataEnd: (error: Error) => void) {
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
    this.#mounts.removeLeftovers();
    this.#mounts.check();
    this.#verifications = new VerifyRecord(options.stateDirectory, options.verifyEveryMs, (reason) => {
      this.#log('warn', reason);
    });
    const { localNode, stateDirectory, async, lockTimeoutSeconds, resyncBytesPerSecondMax } = options;
    this.#data = new DataThread(
      {
        node: localNode,
        directories: this.#directories,
        stateDirectory,
        async,
        exclusions: this.#exclusions,
        silenceMaxMs: lockTimeoutSeconds * 1000,
        resyncBytesPerSecondMax,
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
    }, WATCH_MS);
  }

  get #exclusions(): readonly (readonly Exclusion[])[] {
    return this.#options.directories.map(({ exclusions }) => exclusions);
  }

  async run(command: Exclude<ControlCommand, { kind: 'open' | 'close' }>): Promise<void> {
    switch (command.kind) {
      case 'become-primary':
        return this.#becomePrimary(command);
      case 'become-secondary':
        return this.#becomeSecondary(command.term);
      case 'connect-peer':
        if (this.#state.role !== 'primary' || this.#state.link === 'holding') {
          throw new HoldfastError('HF_REPLICATION_STATE', 'only a primary that is not holding connects to its peer');
        }
        this.#wanted = { term: command.term, mode: command.mode, reason: command.reason };
        this.#failure = undefined;
        this.#retryMs = RETRY_MIN_MS;
        this.#attempt();
        return;
      case 'disconnect-peer':
        await this.#disconnect('the primary drops its peer');
        return;
      case 'continue-alone':
        await this.#data.run({ kind: 'continue-alone', base: command.base });
        this.#term = command.term;
        return;
      case 'refuse':
        await this.#data.run({ kind: 'refuse' });
        return;
      case 'verify':
        return this.#verify(command.verifyId, command.options);
      case 'cancel-verify':
        await this.#data.run({ kind: 'cancel-verify' });
        return;
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
    const { term, base, fresh, force } = command;
    const wasSecondary = this.#state.role === 'secondary';
    await this.#endServer();
    if (!wasSecondary) this.#mounts.checkContent();
    const backing = this.#mounts.mountAside();
    try {
      await this.#data.run({ kind: 'become-primary', backing, base, fresh, force });
      this.#mounts.mountReadOnly();
      await this.#data.run({ kind: 'serve', fuseFds: this.#directories.map((_, index) => this.#mounts.mountFuse(index, S_IFDIR)) });
    } catch (error) {
      await this.#rollBack(wasSecondary);
      throw error;
    }
    this.#directories.forEach((_, index) => {
      this.#mounts.raiseReadAhead(index);
    });
    this.#term = term;
    this.#failure = undefined;
    this.#changed();
  }

  async #becomeSecondary(term: Term): Promise<void> {
    if (this.#state.role === 'secondary') {
      this.#term = term;
      return;
    }
    this.#mounts.checkContent();
    const { local } = this.#options;
    const backing = this.#mounts.mountAside();
    try {
      await this.#data.run({ kind: 'become-secondary', backing, endpoint: { address: local.address, port: local.port + 1 } });
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
    const directories = this.#directories;
    const epoch = this.#term?.epoch ?? 0;
    if (hello.protocol !== PROTOCOL_VERSION) {
      return {
        welcome: false,
        code: 'version',
        message: `protocol ${hello.protocol}; this node speaks ${PROTOCOL_VERSION}: install the same version on both nodes`,
      };
    }
    if (hello.module !== module)
      return { welcome: false, code: 'module', message: `module "${hello.module}"; this port belongs to "${module}"` };
    if (hello.epoch < epoch) {
      return {
        welcome: false,
        code: 'deposed',
        message: `epoch ${hello.epoch} is over, the epoch here is ${epoch}: another node became primary`,
      };
    }
    if (hello.roots.length !== directories.length || hello.roots.some((root, index) => root !== directories[index])) {
      return {
        welcome: false,
        code: 'roots',
        message: `directories ${hello.roots.join(', ')}; here ${directories.join(', ')}: apply the same configuration on both nodes`,
      };
    }
    if (hello.exclusions !== exclusionsDigest(this.#exclusions)) {
      const message = 'something else is excluded from the replication here: apply the same configuration on both nodes';
      return { welcome: false, code: 'exclusions', message };
    }
    this.#linkNumber += 1;
    this.#session?.close();
    this.#session = undefined;
    await this.#data.run({
      kind: 'expect',
      link: this.#linkNumber,
      keys: { sendKey: keys.toPrimary, receiveKey: keys.toSecondary, cookie: keys.cookie },
      generation: hello.generation,
      async: hello.async,
    });
    return { welcome: true };
  }

  #established(session: LinkSession): void {
    const number = this.#linkNumber;
    this.#session = session;
    session.onEnd(() => {
      if (this.#linkNumber !== number) return;
      this.#session = undefined;
      void this.#data.run({ kind: 'drop-link', link: number, reason: 'the control connection ended' });
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
    this.#retryLater();
  }

  #retryLater(): void {
    if (this.#wanted === undefined) return;
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => {
      this.#attempt();
    }, this.#retryMs);
    this.#retryMs = Math.min(2 * this.#retryMs, RETRY_MAX_MS);
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
    await this.#mounts.uncover(force || this.#state.role === 'secondary');
    await this.#data.run({ kind: 'stop' });
    await this.#endServer();
    this.#measuring?.abort();
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
          this.#retryMs = RETRY_MIN_MS;
        }
        // Who held asks the core first; a new link is wanted by a new connectPeer.
        if (message.state.link === 'holding') this.#wanted = undefined;
        this.#measure();
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
        if (this.#state.role === 'primary') this.#retryLater();
        return;
      }
    }
  }

  /** A resync that read its journal does not know how large the tree is: found out afterwards, in the background. */
  #measure(): void {
    const { lastResync, link } = this.#state;
    if (lastResync?.mode !== 'journal' || link !== 'connected' || this.#measuring !== undefined) return;
    if (this.#measured !== undefined && isSame(this.#measured.resync, lastResync)) return;
    const measuring = new AbortController();
    this.#measuring = measuring;
    void treeBytes(this.#mounts.asides, this.#exclusions, measuring.signal).then((bytes) => {
      if (this.#measuring === measuring) this.#measuring = undefined;
      if (bytes === undefined) return;
      this.#measured = { resync: lastResync, bytes };
      this.#changed();
    });
  }

  #log(level: 'info' | 'warn' | 'error', message: string): void {
    this.#report({ kind: 'log', level, message });
  }

  #changed(): void {
    const { role, link, inconsistent, journalSince, progress, lastResync, verifying } = this.#state;
    const summary =
      lastResync !== undefined && this.#measured !== undefined && isSame(this.#measured.resync, lastResync)
        ? { ...lastResync, bytesInTree: this.#measured.bytes }
        : lastResync;
    const isConnecting = role === 'primary' && link === 'none' && this.#wanted !== undefined;
    const verification = this.#verifications.status(verifying, summary?.bytesInTree);
    const status: ReplicationStatus = {
      role,
      link: isConnecting ? 'connecting' : link,
      inconsistent,
      ...(journalSince === undefined ? {} : { journalSince }),
      ...(progress === undefined ? {} : { progress }),
      ...(summary === undefined ? {} : { lastResync: summary }),
      ...(verification === undefined ? {} : { verification }),
      ...(this.#failure === undefined ? {} : { failure: this.#failure }),
    };
    this.#report({ kind: 'status', status });
  }
}

function isSame(left: ResyncSummary, right: ResyncSummary): boolean {
  return (
    left.mode === right.mode &&
    left.bytesSent === right.bytesSent &&
    left.objectsSent === right.objectsSent &&
    left.durationMs === right.durationMs
  );
}
