/**
 * Two nodes on one machine: each an agent process in its own mount namespace, where the same path shows a directory of its own, and its
 * own loopback address. Everything lives below one temporary directory; `close` ends every process and leaves nothing mounted.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ElementValue, ReplicationStatus, ResyncMode, VerifyFailure, VerifyOptions, VerifyResult } from '@holdfast/sdk';
import type { AgentCall, AgentReport, AgentRequest } from './agent-process.js';
import { describeTree, differences } from './tree.js';

const WAIT_MS = 20_000;

export const generation = (n: number): string => n.toString(16).padStart(32, '0');
export const term = (n: number): { generation: string; epoch: number } => ({ generation: generation(n), epoch: n });

/** Waits for a condition. @throws with what it waited for */
export async function until(condition: () => boolean, what: () => string, waitMs = WAIT_MS): Promise<void> {
  const deadline = performance.now() + waitMs;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`waited ${waitMs} ms for: ${what()}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Loopback addresses of this process alone: others may be testing on the same machine. */
export function addressOf(node: string): string {
  return `127.${100 + ((process.pid >> 8) & 0x7f)}.${process.pid & 0xff}.${node === 'a' ? 1 : 2}`;
}

export interface RunResult {
  readonly code: number;
  readonly output: string;
}

/** Runs a shell command without blocking this process, which must keep answering. */
export function run(command: string, argv: readonly string[] = []): Promise<RunResult> {
  return new Promise((resolve) => {
    const child = spawn(argv[0] ?? 'sh', argv.length > 0 ? [...argv.slice(1), 'sh', '-c', command] : ['-c', command], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (output += text));
    child.on('close', (code) => {
      resolve({ code: code ?? -1, output });
    });
  });
}

/** Both ways in which the kernel hands over what applications write. */
export const SYNC_MODES = ['write', 'fsync'] as const;

export interface NodeSettings {
  readonly name: 'a' | 'b';
  readonly async?: 'second' | 'none';
  readonly sync?: (typeof SYNC_MODES)[number];
  readonly lockTimeoutSeconds?: number;
  readonly key?: Buffer;
  readonly port?: number;
  /** A replicator that ends so often within a minute is not replaced. */
  readonly deathsMax?: number;
  /** Where the peer is reached, when that is not its own port. */
  readonly peerPort?: number;
  /** How many replicated directories; 1 if not given. */
  readonly directories?: number;
  /** Children of the `replicated` elements. */
  readonly replicated?: ElementValue;
  /** How the node's own directory comes to be, before it is bound to the common path: a shell command with $DIR. */
  readonly prepare?: string;
}

export class LabNode {
  readonly name: string;
  /** The node's tree as it is, outside of any of its mounts. */
  readonly tree: string;
  /** The trees of all replicated directories. */
  readonly trees: readonly string[];
  /** The replicated directory, as its applications see it: only inside the node. */
  readonly directory: string;
  readonly directories: readonly string[];
  readonly stateDirectory: string;
  readonly log: string[] = [];
  status: ReplicationStatus = { role: 'stopped', link: 'none', inconsistent: false };
  #settings: NodeSettings;
  readonly #waiting = new Map<number, { resolve: () => void; reject: (error: Error) => void }>();
  #process: ChildProcess | undefined;
  #nextId = 1;

  constructor(base: string, settings: NodeSettings) {
    this.#settings = settings;
    this.name = settings.name;
    const numbers = Array.from({ length: settings.directories ?? 1 }, (_, index) => (index === 0 ? '' : String(index + 1)));
    this.trees = numbers.map((number) => join(base, settings.name, `tree${number}`));
    this.directories = numbers.map((number) => join(base, `data${number}`));
    this.tree = this.trees[0] as string;
    this.directory = this.directories[0] as string;
    this.stateDirectory = join(base, settings.name, 'state');
    for (const path of [...this.trees, this.stateDirectory, ...this.directories]) mkdirSync(path, { recursive: true });
  }

  async start(): Promise<void> {
    const script = fileURLToPath(new URL('./agent-process.js', import.meta.url));
    const binds = this.trees.map((tree, index) => `mount --bind '${tree}' '${this.directories[index] ?? ''}'`);
    const prepare = [this.#settings.prepare ?? ':', ...binds, 'exec "$NODE" "$SCRIPT"'].join(' && ');
    this.#process = spawn('unshare', ['-m', '--propagation', 'private', 'sh', '-c', prepare], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      env: { ...process.env, DIR: this.tree, NODE: process.execPath, SCRIPT: script },
    });
    this.#process.on('message', (report: AgentReport) => {
      this.#onReport(report);
    });
    const started = this.#process;
    started.on('exit', () => {
      if (this.#process === started) this.#process = undefined;
      for (const { reject } of this.#waiting.values()) reject(new Error(`the agent of ${this.name} has ended`));
      this.#waiting.clear();
    });
    await this.reopen();
  }

  /** Opens the replica (again, after its process has ended). */
  async reopen(): Promise<void> {
    const {
      async = 'second',
      sync = 'write',
      lockTimeoutSeconds = 10,
      key = Buffer.alloc(32, 7),
      port = 5600,
      deathsMax = 3,
    } = this.#settings;
    const { peerPort = port } = this.#settings;
    const peerNode = this.name === 'a' ? 'b' : 'a';
    await this.call({
      call: 'open',
      options: {
        module: 'test',
        localNode: this.name,
        peerNode,
        local: { address: addressOf(this.name), port },
        peer: { address: addressOf(peerNode), port: peerPort },
        stateDirectory: this.stateDirectory,
        configuration: {
          replicated: this.directories.map((dir) => ({ ...this.#settings.replicated, dir })),
          async,
          sync,
          locktimeout: lockTimeoutSeconds,
        },
        key: key.toString('base64'),
        deathsMax,
      },
    });
  }

  /** Opens the replica with other settings; it must be closed. */
  async configure(settings: Omit<NodeSettings, 'name'>): Promise<void> {
    this.#settings = { ...this.#settings, ...settings };
    await this.reopen();
  }

  /** @throws Error whose message begins with the code */
  call(call: AgentCall): Promise<void> {
    return new Promise((resolve, reject) => {
      const id = this.#nextId;
      this.#nextId += 1;
      this.#waiting.set(id, { resolve, reject });
      this.#process?.send({ ...call, id } satisfies AgentRequest);
    });
  }

  becomePrimary(n: number, options: { base: number; fresh?: boolean; force?: boolean; image?: boolean }): Promise<void> {
    const { base, fresh = false, force = false, image = false } = options;
    return this.call({ call: 'becomePrimary', term: term(n), base: generation(base), fresh, force, image });
  }

  /** @param givenUp generation whose changes are given up for the primary's */
  becomeSecondary(n: number, givenUp?: string): Promise<void> {
    return this.call({ call: 'becomeSecondary', term: term(n), ...(givenUp !== undefined && { givenUp }) });
  }

  connectPeer(n: number, mode: ResyncMode): Promise<void> {
    return this.call({ call: 'connectPeer', term: term(n), mode });
  }

  /** Compares both copies, from this primary. @returns the result, or the failure that ended it */
  async verify(options: VerifyOptions = { repair: false }, waitMs = WAIT_MS): Promise<VerifyResult | VerifyFailure> {
    const before = this.status.verification;
    await this.call({ call: 'verify', options });
    const outcome = (): VerifyResult | VerifyFailure | undefined => {
      const { progress, last, failure } = this.status.verification ?? {};
      if (progress !== undefined) return undefined;
      if (failure !== undefined && failure.id !== before?.failure?.id) return failure;
      return last?.id === before?.last?.id ? undefined : last;
    };
    await until(
      () => outcome() !== undefined,
      () => `the verification to end: ${JSON.stringify(this.status)}; log ${this.log.join(' | ')}`,
      waitMs,
    );
    return outcome() as VerifyResult | VerifyFailure;
  }

  stop(force = false): Promise<void> {
    return this.call({ call: 'stop', force });
  }

  async reach(link: ReplicationStatus['link'], waitMs = WAIT_MS): Promise<void> {
    await until(
      () => this.status.link === link,
      () => `${this.name} to be ${link}; it is ${JSON.stringify(this.status)}; log ${this.log.join(' | ')}`,
      waitMs,
    );
  }

  /** Runs a shell command inside the node, in the replicated directory. */
  run(command: string): Promise<RunResult> {
    return run(`cd '${this.directory}' && ${command}`, ['nsenter', '-t', String(this.agentPid), '-m']);
  }

  /** As `run`. @throws when the command fails */
  async must(command: string): Promise<string> {
    const { code, output } = await this.run(command);
    if (code !== 0) throw new Error(`on ${this.name}: "${command}" failed with ${code}: ${output}`);
    return output;
  }

  /** The node's trees, seen from outside, whatever is mounted there inside. */
  get treesOutside(): readonly string[] {
    return this.trees.map((tree) => `/proc/${this.agentPid}/root${tree}`);
  }

  get treeOutside(): string {
    return this.treesOutside[0] as string;
  }

  get agentPid(): number {
    return this.#process?.pid ?? -1;
  }

  /** The replicator process, found as the agent's child; -1: there is none at this moment. */
  get replicatorPid(): number {
    return this.#childPid('/process/main.js');
  }

  get holderPid(): number {
    return this.#childPid('/process/holder.js');
  }

  #childPid(script: string): number {
    const children = readFileSync(`/proc/${this.agentPid}/task/${this.agentPid}/children`, 'utf8').trim().split(' ').map(Number);
    return children.find((pid) => pid > 0 && commandLine(pid).includes(script)) ?? -1;
  }

  /** The replicator dies, and nobody can take its place. */
  killReplicatorForGood(): void {
    signal(this.holderPid, 'SIGKILL');
    signal(this.replicatorPid, 'SIGKILL');
  }

  /** Power loss as far as processes go: agent and replicator die at once. The namespace, with its mounts, dies with them. */
  async kill(): Promise<void> {
    const agent = this.#process;
    if (agent === undefined) return;
    const children = [this.replicatorPid, this.holderPid].filter((pid) => pid > 0);
    const ended = new Promise((resolve) => agent.once('exit', resolve));
    // The agent first: it would replace the replicator.
    agent.kill('SIGKILL');
    for (const pid of children) killIfThere(pid);
    await ended;
    await until(
      () => !children.some((pid) => existsSync(`/proc/${pid}`)),
      () => `processes ${children.join(', ')} to end`,
    );
    this.#process = undefined;
    this.status = { role: 'stopped', link: 'none', inconsistent: false };
  }

  async close(): Promise<void> {
    if (this.#process === undefined) return;
    // A process of the test that hangs on a held write must not keep the namespace alive.
    if (this.status.role === 'primary') await this.call({ call: 'refuse' }).catch(() => undefined);
    await this.call({ call: 'close' }).catch(() => undefined);
    await this.kill();
  }

  #onReport(report: AgentReport): void {
    if (report.kind === 'status') this.status = report.status;
    else if (report.kind === 'log') this.log.push(report.text);
    else {
      const waiting = this.#waiting.get(report.id);
      this.#waiting.delete(report.id);
      if (report.error === undefined) waiting?.resolve();
      else {
        // What a process said before it ended is the only trace of why.
        const isEnded = report.error.code === 'HF_REPLICATION_PROCESS';
        waiting?.reject(new Error(isEnded ? `${report.error.message}; ${this.log.join(' | ')}` : report.error.message));
      }
    }
  }
}

/** To one process. @throws when there is none: the number -1 would mean every process of the machine */
export function signal(pid: number, name: NodeJS.Signals): void {
  if (pid <= 0) throw new Error(`no process for ${name}`);
  process.kill(pid, name);
}

function killIfThere(pid: number): void {
  try {
    signal(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
  } catch {
    return '';
  }
}

export class Lab {
  readonly base = mkdtempSync(join(tmpdir(), 'holdfast-replication-'));
  readonly #nodes: LabNode[] = [];
  readonly #settings: Omit<NodeSettings, 'name'>;

  /** @param settings of every node, unless it has its own */
  constructor(settings: Omit<NodeSettings, 'name'> = {}) {
    this.#settings = settings;
    // A store that another test had in this process has cleared it.
    process.umask(0o022);
    // Applications of other users work in the replicated directory.
    chmodSync(this.base, 0o755);
  }

  async node(settings: NodeSettings): Promise<LabNode> {
    const node = new LabNode(this.base, { ...this.#settings, ...settings });
    this.#nodes.push(node);
    await node.start();
    return node;
  }

  /** Both nodes, `a` primary, compared and connected. */
  async connectedPair(settings: Omit<NodeSettings, 'name'> = {}): Promise<{ a: LabNode; b: LabNode }> {
    const [a, b] = await Promise.all([this.node({ ...settings, name: 'a' }), this.node({ ...settings, name: 'b' })]);
    await Promise.all([a.becomePrimary(1, { base: 1, fresh: true }), b.becomeSecondary(1)]);
    await a.connectPeer(1, 'compare');
    await a.reach('connected');
    await b.reach('connected');
    return { a, b };
  }

  async close(): Promise<void> {
    await Promise.all(this.#nodes.map((node) => node.close()));
    // What a namespace had mounted is gone with it; the directories are plain again. Node's own removal fails where paths are too long.
    execFileSync('rm', ['-rf', this.base]);
  }
}

/**
 * Waits until both nodes' trees are the same: content, attributes, times, links, extended attributes.
 * @param isOwn names (with the path from the directory, `/a/b`) that are each node's own
 */
export async function assertIdentical(a: LabNode, b: LabNode, isOwn?: (label: string) => boolean): Promise<void> {
  const options = { times: true, ...(isOwn && { isOwn }) };
  let last = '';
  await until(
    () => {
      const right = b.treesOutside;
      last = a.treesOutside
        .map((tree, index) => differences(describeTree(tree, options), describeTree(right[index] ?? '', options)))
        .join('');
      return last === '';
    },
    () => `identical trees; ${last}`,
    10_000,
  );
}
