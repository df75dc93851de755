/** The agent: the modules of one node and what the API can ask of them. */
import { readFile, rm } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { HoldfastError, messageOf, type ConflictStore, type Replica } from '@holdfast/sdk';
import type { ConfigurationParticipant, ConfigureOptions, ConfigureResult } from '../api/configuration-contract.js';
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
  ResourceView,
  ScriptNote,
  StateForgotten,
  Verb,
  VerbOptions,
  VerificationOptions,
  VirtualAddressView,
} from '../api/contract.js';
import { parseModule, type ContributedSchema, type ParsedModule } from '../config/index.js';
import type { Command } from '../decide/mirror/types.js';
import type { PlannedConfiguration } from '../model/configuration-change.js';
import type { ModuleConfiguration } from '../model/configuration.js';
import { type ConfigurationHost, isActive, planOf, type Runtime } from './configuration-examination.js';
import { ConfigurationKeeper } from './configuration-keeper.js';
import { copyFolder } from './configuration-store.js';
import { damagedPath, forgetState } from './damaged-state.js';
import type { EventLog } from './event-log.js';
import { LightRuntime } from './light-runtime.js';
import { lightViewOf } from './light-view.js';
import { changeLoop } from './loop-counting.js';
import { type ModuleClaims, refuseSharedClaims } from './module-claims.js';
import type { ModuleLoader } from './module-loader.js';
import type { Watchdog } from './watchdog.js';
import { idleView, viewOf, virtualAddressView } from './module-view.js';
import { LoadRetries } from './load-retries.js';
import type { ModuleEntry, NodeFiles, NodeIdentity } from './node-files.js';
import { runHook } from './script-hooks.js';

export interface AgentParts {
  readonly files: NodeFiles;
  readonly identity: NodeIdentity;
  readonly loader: ModuleLoader;
  readonly elements: readonly ContributedSchema[];
  readonly log: EventLog;
  readonly watchdog: (oldestDecisionMs: () => number | undefined) => Watchdog;
  readonly plugins: () => ClusterView['plugins'];
  /** Whether the agent of another node answers. */
  readonly reachable: (node: string) => Promise<boolean>;
  /** The other node of the cluster, for configurations that both are to have. */
  readonly peer?: { readonly node: string; readonly participant: ConfigurationParticipant };
}

interface Manifest {
  readonly id: string;
  readonly title: string;
  readonly version: string;
}

const MODULES_MAX = 32;
const STARTS: readonly Verb[] = ['start', 'prim', 'second'];
const CONFLICT_OBJECTS_DEFAULT = 1000;
const SHUTDOWN_MS = 60_000;

export class Agent implements AgentService, ConfigurationHost {
  readonly configurations: ConfigurationKeeper;
  private readonly runtimes = new Map<string, Runtime>();
  /** What each runtime was opened with, or has taken since. */
  private readonly planned = new Map<string, PlannedConfiguration>();
  /** Why a configured module could not be loaded. */
  private readonly refused = new Map<string, HoldfastError>();
  private readonly retries = new LoadRetries((entry) => this.loadAgain(entry));

  private readonly watchdog: Watchdog;

  constructor(private readonly parts: AgentParts) {
    this.watchdog = parts.watchdog(() => {
      const decided = [...this.runtimes.values()].map(({ decidedMs }) => decidedMs);
      return decided.length === 0 ? undefined : Math.min(...decided);
    });
    const { files, loader, log, peer } = parts;
    this.configurations = new ConfigurationKeeper({
      node: this.node,
      files,
      loader,
      log,
      host: this,
      ...(peer === undefined ? {} : { peer }),
    });
  }

  get node(): string {
    return this.parts.identity.node;
  }

  /** Loads every applied module; one that fails is reported and the others run. */
  async start(): Promise<void> {
    await this.watchdog.start();
    for (const entry of await this.parts.files.modules()) {
      await this.startModule(entry).catch((error: unknown) => {
        this.noteRefused(entry.name, error);
        this.retries.add(entry);
      });
    }
  }

  /** What was in the way at the start may have passed. @throws HoldfastError what is in the way still */
  private async loadAgain(entry: ModuleEntry): Promise<void> {
    if (!this.refused.has(entry.name)) return;
    await this.configurations.transactions.exclusively(entry.name, async () => {
      await this.startModule(entry, true).catch((error: unknown) => {
        if (messageOf(error) !== this.refused.get(entry.name)?.message) this.noteRefused(entry.name, error);
        throw error;
      });
    });
    if (!this.runtimes.has(entry.name)) return;
    this.parts.log.write('I', entry.name, 'agent', `module ${entry.name} is loaded: what was in its way has passed`);
  }

  /** @param isBoot the module starts if it starts with the agent, also when the agent has started already */
  private async startModule(entry: ModuleEntry, isBoot = !this.booted): Promise<void> {
    await this.configurations.recover(entry);
    const store = this.configurations.transactions.store(entry.name);
    const applied = await store.applied();
    if (applied === undefined || this.runtimes.has(entry.name)) return;
    await this.run(planOf(this, entry, await store.content(applied.number)).planned, isBoot);
  }

  async forgetState(name: string): Promise<StateForgotten> {
    const entry = await this.entry(name);
    const path = damagedPath(this.refused.get(name));
    if (path === undefined) {
      const message = `module ${name} is not refused because of a damaged state: there is nothing to forget`;
      throw new HoldfastError('HF_MODULE_STATE_INTACT', message, { module: name });
    }
    // Somebody may have put an intact copy back a moment ago.
    await this.loadAgain(entry).catch(() => undefined);
    return this.configurations.transactions.exclusively(name, async () => {
      if (damagedPath(this.refused.get(name)) !== path) {
        throw new HoldfastError('HF_MODULE_STATE_INTACT', `${path} is intact again: nothing is forgotten`, { module: name });
      }
      const aside = await forgetState(path, new Date());
      this.parts.log.write('U', name, 'agent', `the damaged state is given up, by the operator; kept as ${aside.join(', ') || 'nothing'}`);
      await this.startModule(entry, false).catch((error: unknown) => {
        this.noteRefused(name, error);
        throw error;
      });
      this.retries.forget(name);
      return { aside };
    });
  }

  private noteRefused(name: string, error: unknown): void {
    const coded = error instanceof HoldfastError ? error : new HoldfastError('HF_MODULE_LOAD', `${name}: ${messageOf(error)}`);
    this.refused.set(name, coded);
    this.parts.log.write('C', name, 'agent', `module ${name} is refused: ${coded.message}`, { code: coded.code, ...coded.details });
  }

  private async run(planned: PlannedConfiguration, isBoot: boolean): Promise<void> {
    const { configuration } = planned;
    const runtime = await this.parts.loader.load(planned);
    this.runtimes.set(configuration.name, runtime);
    this.planned.set(configuration.name, planned);
    this.refused.delete(configuration.name);
    const { boot, bootDelayMs } = configuration.service;
    const wanted =
      this.watchdog.refusal === undefined && isBoot && (boot === 'on' || (boot === 'auto' && runtime.snapshot.durable.started));
    runtime.start(wanted && bootDelayMs === 0);
    if (!wanted || bootDelayMs === 0) return;
    setTimeout(() => {
      if (runtime.snapshot.phase === 'STOP') runtime.command({ verb: 'start', boot: true });
    }, bootDelayMs).unref();
  }

  private booted = false;

  /** From now on a module that is applied does not start by itself any more. */
  bootFinished(): void {
    this.booted = true;
  }

  parse(entry: ModuleEntry, xml: string, scriptsDigest: string): ParsedModule {
    return parseModule(xml, join(this.parts.files.moduleSource(entry.name), 'conf', 'userconfig.xml'), {
      name: entry.name,
      id: entry.id,
      cluster: this.parts.identity.cluster,
      environment: { SAFEMODULE: entry.name, HOLDFAST_NODE: this.node },
      elements: this.parts.elements,
      refusalOf: (contributed) => this.parts.loader.refusalOf(entry.name, contributed),
      resourcesOf: (contributed) => this.parts.loader.resourcesOf(entry.name, contributed),
      extraDigest: scriptsDigest,
    });
  }

  async cluster(): Promise<ClusterView> {
    const { cluster } = this.parts.identity;
    const lan = cluster.lans.find(({ command }) => command) ?? cluster.lans[0];
    const nodes = await Promise.all(
      (lan?.nodes ?? []).map(async ({ name, address }) => {
        if (name === this.node) return { name, address, reachable: true, digest: cluster.digest };
        return { name, address, reachable: await this.parts.reachable(name) };
      }),
    );
    return { node: this.node, digest: cluster.digest, nodes, plugins: this.parts.plugins() };
  }

  async modules(): Promise<readonly ModuleListEntry[]> {
    return Promise.all((await this.parts.files.modules()).map((entry) => this.listEntry(entry)));
  }

  private async listEntry(entry: ModuleEntry): Promise<ModuleListEntry> {
    const manifest = await readManifest(this.parts.files.moduleSource(entry.name));
    const configured = (await this.configurations.transactions.store(entry.name).applied()) !== undefined;
    const edited =
      configured && (await this.configurations.editedDigest(entry)) !== this.runtimes.get(entry.name)?.parts.configuration.digest;
    return { module: entry.name, id: entry.id, title: manifest.title, version: manifest.version, configured, edited };
  }

  async entry(name: string): Promise<ModuleEntry> {
    const entries = await this.parts.files.modules();
    const found = entries.find((entry) => entry.name === name);
    if (found === undefined) {
      const known = entries.map((entry) => entry.name).join(', ') || 'none';
      throw new HoldfastError('HF_MODULE_UNKNOWN', `no module "${name}" on ${this.node}; installed: ${known}`, { module: name });
    }
    return found;
  }

  private async runtime(name: string): Promise<Runtime> {
    await this.entry(name);
    const runtime = this.runtimes.get(name);
    if (runtime !== undefined) return runtime;
    const why = this.refused.get(name);
    if (why !== undefined) throw why;
    throw new HoldfastError(
      'HF_MODULE_NOT_CONFIGURED',
      `module ${name} is installed but not configured: run "holdfast module config -m ${name}"`,
    );
  }

  async module(name: string): Promise<ModuleView> {
    const entry = await this.entry(name);
    const runtime = this.runtimes.get(name);
    if (runtime === undefined) return idleView(entry, this.node, this.refused.get(name));
    const [edited, stale] = [await this.configurations.editedDigest(entry), await this.configurations.isStale(name)];
    return runtime instanceof LightRuntime ? lightViewOf(runtime, edited, stale) : viewOf(runtime, edited, stale);
  }

  async resources(name: string, query: { readonly name?: string } = {}): Promise<readonly ResourceView[]> {
    return (await this.runtime(name)).parts.resources.list(query.name);
  }

  async virtualAddresses(name: string): Promise<VirtualAddressView> {
    return virtualAddressView((await this.runtime(name)).parts.configuration, this.parts.identity.cluster);
  }

  async log(name: string, query: { after?: number; limit?: number; levels?: string }): Promise<readonly LogEntry[]> {
    await this.entry(name);
    return this.parts.log.query(name, query);
  }

  async command(name: string, verb: Verb, options: VerbOptions): Promise<void> {
    const isStopped = (await this.runtime(name)).snapshot.phase === 'STOP';
    const { refusal } = this.watchdog;
    if (refusal !== undefined && isStopped && STARTS.includes(verb)) throw refusal;
    if (isStopped && verb !== 'stop') await this.configurations.transactions.refresh(name);
    (await this.runtime(name)).command(commandOf(verb, options));
  }

  async verify(name: string, options: VerificationOptions): Promise<{ readonly id: string }> {
    return (await this.runtime(name)).verify(options);
  }

  async cancelVerification(name: string): Promise<void> {
    await replicaOf(await this.runtime(name))?.cancelVerify?.();
  }

  async conflicts(name: string): Promise<readonly ConflictView[]> {
    return replicaOf(await this.runtime(name))?.conflicts?.list() ?? [];
  }

  async conflictObjects(name: string, id: string, query: { after?: number; limit?: number }): Promise<readonly ConflictObjectView[]> {
    return (await this.conflictStore(name)).objects(id, { limit: CONFLICT_OBJECTS_DEFAULT, ...query });
  }

  async extractConflict(name: string, id: string, { paths = [], to }: ConflictExtractionOptions): Promise<void> {
    await (await this.conflictStore(name)).extract(id, { paths, to });
    this.parts.log.write('U', name, 'conflicts', `conflict ${id} is extracted to ${to}`);
  }

  async deleteConflict(name: string, id: string): Promise<void> {
    await (await this.conflictStore(name)).delete(id);
    this.parts.log.write('U', name, 'conflicts', `conflict ${id} deleted, by the operator`);
  }

  private async conflictStore(name: string): Promise<ConflictStore> {
    const store = replicaOf(await this.runtime(name))?.conflicts;
    if (store !== undefined) return store;
    throw new HoldfastError('HF_COMMAND_UNSUPPORTED', `${name} replicates nothing that could be in conflict`);
  }

  async switchChecks(name: string, options: ChecksSwitch): Promise<void> {
    await (await this.runtime(name)).switchChecks(options.class, options.enabled);
  }

  async setResource(name: string, verdict: OutsideVerdict): Promise<void> {
    (await this.runtime(name)).setResource(verdict);
  }

  async maintain(name: string, { name: which, on, identity = 'operator' }: MaintenanceSwitch): Promise<void> {
    await (await this.runtime(name)).maintain(which, on, identity);
  }

  async loop(name: string, change?: LoopChange): Promise<LoopView> {
    return changeLoop(await this.runtime(name), change);
  }

  async note(name: string, { level, text }: ScriptNote): Promise<void> {
    await this.entry(name);
    this.parts.log.write(level === 'info' ? 'I' : 'E', name, 'script', level === 'warning' ? `warning: ${text}` : text);
  }

  async install(folder: string, options: { name?: string; id?: number; replace?: boolean }): Promise<ModuleListEntry> {
    const source = resolve(folder);
    const manifest = await readManifest(source);
    const name = options.name ?? manifest.id;
    if (!/^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/.test(name)) {
      throw new HoldfastError('HF_MODULE_NAME', `"${name}" is no module name: letters, digits, _ and -, at most 63`, { name });
    }
    const entries = await this.parts.files.modules();
    const old = entries.find((entry) => entry.name === name);
    if (old !== undefined && options.replace !== true) {
      throw new HoldfastError('HF_MODULE_EXISTS', `module ${name} is installed already; use --replace to overwrite its source`, {
        module: name,
      });
    }
    const id = options.id ?? old?.id ?? freeId(entries);
    const holder = entries.find((entry) => entry.id === id && entry.name !== name);
    if (holder !== undefined) throw new HoldfastError('HF_MODULE_ID_TAKEN', `id ${id} belongs to module ${holder.name}`, { id });
    await copyFolder(source, this.parts.files.moduleSource(name));
    this.configurations.installed(name);
    const entry = { name, id };
    await this.parts.files.writeModules([...entries.filter((other) => other.name !== name), entry].sort((a, b) => a.id - b.id));
    this.parts.log.write('U', name, 'agent', `module ${name} (${manifest.version}) installed with id ${id} from ${basename(source)}`);
    return this.listEntry(entry);
  }

  async uninstall(name: string): Promise<void> {
    const entry = await this.entry(name);
    const configuration = this.planned.get(name)?.configuration;
    const kept = (await replicaOf(this.runtimes.get(name))?.conflicts?.list()) ?? [];
    if (kept.length > 0) {
      const ids = kept.map(({ id }) => id).join(', ');
      const message = `${name} has kept what was given up after a split brain: extract or delete it first (holdfast conflicts): ${ids}`;
      throw new HoldfastError('HF_MODULE_CONFLICTS', message, { module: name });
    }
    await this.unload(name);
    const { loader, log } = this.parts;
    if (configuration !== undefined) await runHook('deconfig', configuration, loader.scriptsOf(configuration), log);
    await this.configurations.uninstalled(name);
    const entries = await this.parts.files.modules();
    await this.parts.files.writeModules(entries.filter((other) => other.name !== entry.name));
    await rm(this.parts.files.moduleSource(name), { recursive: true, force: true });
    await rm(this.parts.files.moduleState(name), { recursive: true, force: true });
    this.parts.log.write('U', name, 'agent', `module ${name} uninstalled; its data directories are untouched`);
  }

  running(name: string): { readonly runtime: Runtime; readonly planned: PlannedConfiguration } | undefined {
    const [runtime, planned] = [this.runtimes.get(name), this.planned.get(name)];
    return runtime === undefined || planned === undefined ? undefined : { runtime, planned };
  }

  taken(name: string, planned: PlannedConfiguration): void {
    this.planned.set(name, planned);
  }

  async reload(entry: ModuleEntry, planned: PlannedConfiguration): Promise<void> {
    await this.unload(entry.name);
    await this.run(planned, !this.booted).catch((error: unknown) => {
      this.noteRefused(entry.name, error);
      throw error;
    });
  }

  /** Takes a stopped module out of service. */
  async unload(name: string): Promise<void> {
    this.refused.delete(name);
    this.retries.forget(name);
    const runtime = this.runtimes.get(name);
    if (runtime === undefined) return;
    if (isActive(runtime)) {
      throw new HoldfastError('HF_MODULE_RUNNING', `module ${name} is ${runtime.snapshot.phase} on ${this.node}: stop it first`, {
        module: name,
      });
    }
    this.runtimes.delete(name);
    this.planned.delete(name);
    await closeRuntime(runtime);
  }

  configure(name: string, options: ConfigureOptions): Promise<ConfigureResult> {
    return this.configurations.configure(name, options);
  }

  async refuseOverlaps(candidate: ModuleConfiguration): Promise<void> {
    const others = [...this.runtimes].filter(([name]) => name !== candidate.name).map(([, { parts }]) => parts.configuration);
    const claimsOf = (configuration: ModuleConfiguration): ModuleClaims => this.parts.loader.claimsOf(configuration);
    refuseSharedClaims(claimsOf(candidate), others.map(claimsOf));
  }

  subscribe(listener: (entry: LogEntry) => void): () => void {
    return this.parts.log.subscribe(listener);
  }

  /** Stops every module in good order, so that the peer takes over at once, then says goodbye. */
  async stop(): Promise<void> {
    this.retries.close();
    await this.configurations.close();
    const running = [...this.runtimes.values()];
    for (const runtime of running) if (runtime.snapshot.phase !== 'STOP') runtime.command({ verb: 'stop', shutdown: true });
    const end = Date.now() + SHUTDOWN_MS;
    while (running.some(({ snapshot }) => snapshot.phase !== 'STOP' || snapshot.sequence !== undefined) && Date.now() < end) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await Promise.all(running.map((runtime) => closeRuntime(runtime)));
    this.runtimes.clear();
    await this.watchdog.close();
  }
}

function replicaOf(runtime: Runtime | undefined): Replica | undefined {
  return runtime === undefined || runtime instanceof LightRuntime ? undefined : runtime.parts.replica;
}

async function closeRuntime(runtime: Runtime): Promise<void> {
  if (runtime instanceof LightRuntime) return runtime.end();
  runtime.close();
  const { checks, replica, addresses, heartbeat, witnesses, virtualHost } = runtime.parts;
  await checks.stopAll();
  await runtime.parts.closeHistory();
  await runtime.parts.fence.close();
  await replica?.close();
  for (const address of addresses) await address.close();
  await witnesses.close();
  await virtualHost?.close();
  // The peer takes over at once when it hears a goodbye: only from a module that has ended.
  const { phase, sequence } = runtime.snapshot;
  await heartbeat.close({ goodbye: phase === 'STOP' && sequence === undefined });
}

function freeId(entries: readonly ModuleEntry[]): number {
  for (let id = 1; id <= MODULES_MAX; id += 1) if (!entries.some((entry) => entry.id === id)) return id;
  throw new HoldfastError('HF_MODULE_ID_TAKEN', `all ${MODULES_MAX} module ids are taken: uninstall a module first`, { max: MODULES_MAX });
}

async function readManifest(folder: string): Promise<Manifest> {
  const file = join(folder, 'module.json');
  const text = await readFile(file, 'utf8').catch(() => {
    throw new HoldfastError('HF_MODULE_MANIFEST', `${file} is missing: is this a module folder?`, { file });
  });
  try {
    const { id, title, version } = JSON.parse(text) as Partial<Manifest>;
    if (typeof id === 'string' && typeof title === 'string' && typeof version === 'string') return { id, title, version };
  } catch {
    // Said below: the operator needs the file, not the parser's position.
  }
  throw new HoldfastError('HF_MODULE_MANIFEST', `${file} must be JSON with id, title and version`, { file });
}

function commandOf(verb: Verb, options: VerbOptions): Command {
  switch (verb) {
    case 'start':
      return { verb, boot: false };
    case 'stop':
      return { verb, shutdown: false };
    case 'restart':
    case 'stopstart':
      return { verb, automatic: options.identity !== undefined };
    case 'swap':
      // The reference's "nosync" skips a resync: after a swap there is next to nothing to copy, so it is accepted and changes nothing.
      return { verb };
    case 'prim':
      return { verb, ...(options.force === true ? { force: true } : {}), ...(options.image === true ? { image: true } : {}) };
    case 'second':
      return { verb, fullsync: options.fullsync === true };
  }
}
