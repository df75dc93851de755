/**
 * An agent without engine: the whole AgentService in memory, served by the real API on real sockets. State is set by the test; commands
 * are recorded and, for start and stop, obeyed at once.
 */
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:net';
import { HoldfastError } from '@holdfast/sdk';
import { pino } from 'pino';
import type {
  AgentService,
  ChecksSwitch,
  ClusterView,
  ConflictExtractionOptions,
  ConflictObjectView,
  ConflictView,
  LogEntry,
  LoopChange,
  LoopView,
  MaintenanceSwitch,
  ModuleListEntry,
  ModuleView,
  OutsideVerdict,
  ScriptNote,
  StateForgotten,
  ResourceView,
  Verb,
  VerbOptions,
  VerificationOptions,
  VirtualAddressView,
} from '../src/api/contract.js';
import type { ConfigureOptions, ConfigureResult } from '../src/api/configuration-contract.js';
import { MemoryConfigurations } from './api-memory-configurations.js';
import { type Api, createApi } from '../src/api/server.js';
import type { PeerOptions } from '../src/api/peer-tls.js';

export interface RecordedCommand {
  readonly module: string;
  readonly verb: Verb;
  readonly options: VerbOptions;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export class MemoryService implements AgentService {
  readonly commands: RecordedCommand[] = [];
  readonly listeners = new Set<(entry: LogEntry) => void>();
  readonly views = new Map<string, Mutable<ModuleView>>();
  readonly entries: LogEntry[] = [];
  clusterNodes: ClusterView['nodes'] = [];
  /** Called after a command was recorded: lets a test play the engine. */
  onCommand: (command: RecordedCommand) => void = () => undefined;

  readonly verifications: VerificationOptions[] = [];
  readonly cancelled: string[] = [];
  kept: readonly ConflictView[] = [];
  keptObjects: readonly ConflictObjectView[] = [];
  nodeAddresses: VirtualAddressView['nodes'] = [{ name: 'node1', addresses: ['10.0.0.1'] }];
  addressElements: VirtualAddressView['elements'] = [];
  readonly switches: ChecksSwitch[] = [];
  readonly verdicts: OutsideVerdict[] = [];
  readonly maintenance: MaintenanceSwitch[] = [];
  loopCount = 0;
  /** Called when a verification has begun. */
  onVerify: (module: string) => void = () => undefined;

  readonly configured: { readonly module: string; readonly options: ConfigureOptions }[] = [];
  readonly configurations = new MemoryConfigurations((name) => this.known(name).node);

  constructor(readonly node: string) {}

  addModule(module: string, changes: Partial<ModuleView> = {}): Mutable<ModuleView> {
    const view = { ...fullView(module, this.node), ...changes };
    this.views.set(module, view);
    return view;
  }

  write(module: string, text: string, level: LogEntry['level'] = 'E'): LogEntry {
    const sequence = this.entries.length + 1;
    const entry: LogEntry = {
      at: '2026-11-20T10:00:00.000Z',
      node: this.node,
      module,
      level,
      component: 'engine',
      text,
      fields: { from: 'WAIT', nested: { n: 1 } },
      sequence,
    };
    this.entries.push(entry);
    for (const listener of this.listeners) listener(entry);
    return entry;
  }

  async cluster(): Promise<ClusterView> {
    return {
      node: this.node,
      digest: 'c0ffee',
      nodes: this.clusterNodes,
      plugins: [
        { id: 'heartbeat-udp', version: '0.1.0', state: 'active' },
        { id: 'broken', version: '1.0.0', state: 'failed', error: 'HF_PLUGIN_SDK_RANGE: too new' },
      ],
    };
  }

  async modules(): Promise<readonly ModuleListEntry[]> {
    return [...this.views.values()].map(({ module, id }) => ({
      module,
      id,
      title: module,
      version: '1.0.0',
      configured: true,
      edited: false,
    }));
  }

  async module(name: string): Promise<ModuleView> {
    return this.known(name);
  }

  async virtualAddresses(name: string): Promise<VirtualAddressView> {
    this.known(name);
    return { module: name, nodes: this.nodeAddresses, elements: this.addressElements };
  }

  async resources(name: string, query: { readonly name?: string } = {}): Promise<readonly ResourceView[]> {
    this.known(name);
    const all: readonly ResourceView[] = [
      {
        name: 'tcp.ledger',
        value: 'up',
        detail: 'connected in 1 ms',
        since: '2026-11-20T10:00:00.000Z',
        history: [{ at: '2026-11-20T09:00:00.000Z', value: 'down', detail: 'refused' }],
      },
    ];
    return all.filter(({ name: found }) => query.name === undefined || found === query.name);
  }

  async log(name: string, query: { after?: number; limit?: number; levels?: string }): Promise<readonly LogEntry[]> {
    this.known(name);
    const matching = this.entries.filter(
      (entry) =>
        (entry.module === name || entry.module === '') &&
        entry.sequence > (query.after ?? 0) &&
        (query.levels ?? entry.level).includes(entry.level),
    );
    return matching.slice(-(query.limit ?? 300));
  }

  async command(name: string, verb: Verb, options: VerbOptions): Promise<void> {
    const view = this.known(name);
    if (verb === 'start' && view.phase !== 'STOP') {
      throw new HoldfastError('HF_COMMAND_REFUSED', `${name} is ${view.phase}: only a stopped module can be started`, {
        phase: view.phase,
      });
    }
    const command = { module: name, verb, options };
    this.commands.push(command);
    if (verb === 'stop') Object.assign(view, { phase: 'STOP', quality: 'NotReady' });
    this.onCommand(command);
  }

  async verify(name: string, options: VerificationOptions): Promise<{ readonly id: string }> {
    const { replication } = this.known(name);
    if (replication?.role !== 'primary') throw new HoldfastError('HF_COMMAND_REFUSED', `verify of ${name}: this node is not primary`);
    this.verifications.push(options);
    this.onVerify(name);
    return { id: `verification-${this.verifications.length}` };
  }

  async conflicts(name: string): Promise<readonly ConflictView[]> {
    this.known(name);
    return this.kept;
  }

  async conflictObjects(name: string, id: string, query: { after?: number; limit?: number }): Promise<readonly ConflictObjectView[]> {
    this.knownConflict(name, id);
    const { after = 0, limit = 1000 } = query;
    return this.keptObjects.filter(({ number }) => number > after).slice(0, limit);
  }

  async extractConflict(name: string, id: string, options: ConflictExtractionOptions): Promise<void> {
    this.knownConflict(name, id);
    const extraction = { to: options.to, state: 'done', objects: options.paths?.length ?? this.keptObjects.length, bytes: 7 } as const;
    this.kept = this.kept.map((conflict) => (conflict.id === id ? { ...conflict, extraction } : conflict));
  }

  async deleteConflict(name: string, id: string): Promise<void> {
    this.knownConflict(name, id);
    this.kept = this.kept.filter((conflict) => conflict.id !== id);
  }

  private knownConflict(name: string, id: string): void {
    this.known(name);
    if (!this.kept.some((conflict) => conflict.id === id)) throw new HoldfastError('HF_CONFLICT_UNKNOWN', `no conflict "${id}"`, { id });
  }

  async cancelVerification(name: string): Promise<void> {
    this.known(name);
    this.cancelled.push(name);
  }

  async switchChecks(name: string, options: ChecksSwitch): Promise<void> {
    this.known(name);
    if (options.class !== 'batch')
      throw new HoldfastError('HF_CHECK_CLASS_UNKNOWN', `no process has class "${options.class}"; classes: batch`);
    this.switches.push(options);
  }

  async maintain(name: string, change: MaintenanceSwitch): Promise<void> {
    this.known(name);
    this.maintenance.push(change);
  }

  async loop(name: string, change?: LoopChange): Promise<LoopView> {
    this.known(name);
    if (change?.change === 'reset') this.loopCount = 0;
    const reached = this.loopCount >= 3;
    if (change?.change === 'increment' && !reached) this.loopCount += 1;
    return { count: this.loopCount, max: 3, reached };
  }

  async setResource(name: string, verdict: OutsideVerdict): Promise<void> {
    this.known(name);
    if (verdict.resource !== 'custom.door') {
      throw new HoldfastError('HF_RESOURCE_NOT_SETTABLE', `${verdict.resource} is found out by its checker; can be set: custom.door`);
    }
    this.verdicts.push(verdict);
  }

  readonly notes: ScriptNote[] = [];

  async note(name: string, note: ScriptNote): Promise<void> {
    this.known(name);
    this.notes.push(note);
  }

  async install(folder: string, options: { name?: string; id?: number; replace?: boolean }): Promise<ModuleListEntry> {
    if (folder.endsWith('missing')) throw new HoldfastError('HF_CONFIG_FOLDER', `${folder} does not exist`);
    const module = options.name ?? folder.split('/').at(-1) ?? folder;
    if (this.views.has(module) && options.replace !== true) throw new HoldfastError('HF_MODULE_EXISTS', `${module} is installed already`);
    this.addModule(module, { id: options.id ?? 1 });
    return { module, id: options.id ?? 1, title: module, version: '1.0.0', configured: false, edited: false };
  }

  async forgetState(name: string): Promise<StateForgotten> {
    if (this.known(name).reason.code !== 'HF_STATE_DAMAGED') {
      throw new HoldfastError('HF_MODULE_STATE_INTACT', `module ${name} is not refused because of a damaged state`);
    }
    return { aside: [`/var/lib/holdfast/modules/${name}/decision.a.damaged-1`] };
  }

  async uninstall(name: string): Promise<void> {
    this.known(name);
    this.views.delete(name);
  }

  async configure(name: string, options: ConfigureOptions): Promise<ConfigureResult> {
    this.known(name);
    if (name === 'broken') throw new Error('secret internal text');
    if (name === 'invalid') {
      throw new HoldfastError('HF_CONFIG_ATTRIBUTE_UNKNOWN', 'line 3: <service> has no attribute "bott"; "boot" is meant?', { line: 3 });
    }
    this.configured.push({ module: name, options });
    const base = { module: name, digest: 'd1635', changes: [], live: false };
    if (options.check === true) return { ...base, warnings: ['checked only'], outcome: 'valid' };
    return {
      ...base,
      warnings: [],
      outcome: options.dryRun === true ? 'planned' : 'applied',
      changes: [{ element: 'service', attribute: 'maxloop', line: 3, text: 'maxloop of <service>: 3 -> 5, line 3', live: true }],
      live: true,
      ...(options.local === true ? {} : { peer: { node: 'node2', outcome: 'applied', changes: [], text: 'applied on node2' } }),
    };
  }

  subscribe(listener: (entry: LogEntry) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  private known(name: string): Mutable<ModuleView> {
    const view = this.views.get(name);
    if (view === undefined) throw new HoldfastError('HF_MODULE_UNKNOWN', `no module "${name}" on ${this.node}`, { module: name });
    return view;
  }
}

/** A view with every property that the contract knows. */
export function fullView(module: string, node: string): ModuleView {
  return {
    module,
    id: 1,
    node,
    phase: 'PRIM',
    quality: 'Ready',
    detail: 'up-to-date',
    reason: { code: 'peer-connected', text: 'the peer is connected' },
    since: '2026-11-20T10:00:00.000Z',
    peer: { node: 'other', alive: true, phase: 'SECOND', quality: 'Transient' },
    replication: {
      role: 'primary',
      link: 'resynchronising',
      condition: 'uptodate',
      progress: {
        mode: 'compare',
        reason: 'node2 has never held this data',
        bytesDone: 50,
        bytesTotal: 200,
        objectsDone: 1,
        objectsTotal: 4,
        bytesSent: 40,
        bytesPerSecond: 1048576,
        secondsLeft: 12,
      },
      lastResync: { mode: 'journal', bytesSent: 10, objectsSent: 1, bytesInTree: 100, durationMs: 12.5 },
      verification: {
        progress: {
          id: 'v2',
          phase: 'comparing',
          objectsDone: 10,
          bytesDone: 50,
          bytesTotal: 200,
          bytesPerSecond: 1048576,
          secondsLeft: 3,
          differences: 1,
        },
        last: {
          id: 'v1',
          outcome: 'different',
          node,
          at: '2026-11-20T10:00:00.000Z',
          durationMs: 1500,
          objects: 12,
          bytes: 100,
          differences: 1,
          listed: [{ directory: '/data', path: 'a/b', differs: ['content'], detail: 'content within bytes 0-65535' }],
          repaired: 0,
        },
        failure: { id: 'v0', at: '2026-11-20T10:00:00.000Z', code: 'HF_LINK', message: 'cut' },
      },
      failure: { code: 'HF_LINK', message: 'cut' },
    },
    addresses: [{ address: '192.0.2.10', state: 'held' }],
    generation: { current: 'ab', epoch: 3, history: ['cd'] },
    arbitration: { grade: 'weak', text: 'ping', witnesses: [] },
    configuration: { applied: 'aaaa', edited: 'bbbb', peer: 'cccc', stale: true },
    maxloop: { count: 0, max: 3 },
  };
}

export interface MemoryAgent {
  readonly service: MemoryService;
  readonly api: Api;
  readonly token: string;
  readonly baseUrl: string;
  /** Closes the API and opens it again on the same port. */
  restart(): Promise<void>;
  close(): Promise<void>;
}

export async function startMemoryAgent(node: string, peer?: PeerOptions, onLog?: (line: string) => void): Promise<MemoryAgent> {
  const service = new MemoryService(node);
  const token = randomBytes(32).toString('hex');
  const log = pino({ level: 'debug' }, { write: (line: string) => onLog?.(line) });
  const open = (port: number): Promise<Api> =>
    createApi({ service, token, log, loopback: { host: '127.0.0.1', port }, ...(peer === undefined ? {} : { peer }) });
  let api = await open(0);
  const { port } = api;
  return {
    service,
    token,
    api,
    baseUrl: `http://127.0.0.1:${port}`,
    restart: async () => {
      await api.close();
      api = await open(port);
    },
    close: () => api.close(),
  };
}

/** node1 on 127.0.0.1 and node2 on 127.0.0.2, with the same peer port and cluster key; node3 is in the cluster and was never started. */
export async function startMemoryPair(
  onLog?: (line: string) => void,
): Promise<{ first: MemoryAgent; second: MemoryAgent; peer: PeerOptions }> {
  const port = await freePort();
  const clusterKey = randomBytes(32);
  const nodes = [
    { name: 'node1', address: '127.0.0.1' },
    { name: 'node2', address: '127.0.0.2' },
    { name: 'node3', address: '127.0.0.3' },
  ];
  const peerOf = (localNode: string, address: string): PeerOptions => ({
    address,
    port,
    localNode,
    clusterKey,
    peers: nodes.filter(({ name }) => name !== localNode),
  });
  const peer = peerOf('node1', '127.0.0.1');
  const first = await startMemoryAgent('node1', peer, onLog);
  try {
    const second = await startMemoryAgent('node2', peerOf('node2', '127.0.0.2'), onLog);
    for (const { service } of [first, second]) {
      service.clusterNodes = nodes.map((node) => ({
        ...node,
        reachable: node.name !== 'node3',
        ...(node.name === 'node3' ? {} : { digest: 'c0ffee' }),
      }));
    }
    return { first, second, peer };
  } catch (error) {
    await first.close();
    throw error;
  }
}

/** A TCP port that is free on every loopback address now. */
async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '0.0.0.0', resolve));
  const address = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
