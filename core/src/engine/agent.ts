/** The agent: the modules of one node and what the API can ask of them. */
import { readFile, rm } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { HoldfastError, messageOf } from '@holdfast/sdk';
import type {
  AgentService,
  ClusterView,
  ConfigureResult,
  LogEntry,
  ModuleListEntry,
  ModuleView,
  ResourceView,
  Verb,
  VerbOptions,
  VerificationOptions,
} from '../api/contract.js';
import { findOverlaps, parseModule, type ContributedSchema } from '../config/index.js';
import type { Command } from '../decide/mirror/types.js';
import type { ModuleConfiguration } from '../model/configuration.js';
import type { EventLog } from './event-log.js';
import type { ModuleLoader } from './module-loader.js';
import type { ModuleRuntime } from './module-runtime.js';
import { idleView, viewOf } from './module-view.js';
import { exists, type ModuleEntry, type NodeFiles, type NodeIdentity } from './node-files.js';

export interface AgentParts {
  readonly files: NodeFiles;
  readonly identity: NodeIdentity;
  readonly loader: ModuleLoader;
  readonly elements: readonly ContributedSchema[];
  readonly log: EventLog;
  readonly plugins: () => ClusterView['plugins'];
  /** Whether the agent of another node answers. */
  readonly reachable: (node: string) => Promise<boolean>;
}

interface Manifest {
  readonly id: string;
  readonly title: string;
  readonly version: string;
}

const MODULES_MAX = 32;
const SHUTDOWN_MS = 60_000;

export class Agent implements AgentService {
  private readonly runtimes = new Map<string, ModuleRuntime>();
  /** Why a configured module could not be loaded. */
  private readonly refused = new Map<string, HoldfastError>();

  constructor(private readonly parts: AgentParts) {}

  get node(): string {
    return this.parts.identity.node;
  }

  /** Loads every applied module; one that fails is reported and the others run. */
  async start(): Promise<void> {
    for (const entry of await this.parts.files.modules()) {
      if (!(await exists(this.parts.files.applied(entry.name)))) continue;
      await this.loadApplied(entry).catch((error: unknown) => {
        this.noteRefused(entry.name, error);
      });
    }
  }

  private noteRefused(name: string, error: unknown): void {
    const coded = error instanceof HoldfastError ? error : new HoldfastError('HF_MODULE_LOAD', `${name}: ${messageOf(error)}`);
    this.refused.set(name, coded);
    this.parts.log.write('C', name, 'agent', `module ${name} is refused: ${coded.message}`, { code: coded.code, ...coded.details });
  }

  private async loadApplied(entry: ModuleEntry): Promise<void> {
    const { configuration } = await this.parse(entry, this.parts.files.applied(entry.name));
    await this.run(configuration);
  }

  private async run(configuration: ModuleConfiguration): Promise<void> {
    const runtime = await this.parts.loader.load(configuration);
    this.runtimes.set(configuration.name, runtime);
    this.refused.delete(configuration.name);
    const { boot, bootDelayMs } = configuration.service;
    const wanted = !this.booted && (boot === 'on' || (boot === 'auto' && runtime.snapshot.durable.started));
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

  private async parse(entry: ModuleEntry, folder: string): Promise<ReturnType<typeof parseModule>> {
    const file = join(folder, 'conf', 'userconfig.xml');
    const xml = await readFile(file, 'utf8').catch(() => {
      throw new HoldfastError('HF_MODULE_NO_CONFIGURATION', `${file} is missing: a module needs conf/userconfig.xml`, { file });
    });
    return parseModule(xml, file, {
      name: entry.name,
      id: entry.id,
      cluster: this.parts.identity.cluster,
      environment: { SAFEMODULE: entry.name, HOLDFAST_NODE: this.node },
      elements: this.parts.elements,
      extraDigest: await this.parts.files.scriptsDigest(folder),
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
    const configured = await exists(this.parts.files.applied(entry.name));
    const edited = configured && (await this.editedDigest(entry)) !== this.runtimes.get(entry.name)?.parts.configuration.digest;
    return { module: entry.name, id: entry.id, title: manifest.title, version: manifest.version, configured, edited };
  }

  private async editedDigest(entry: ModuleEntry): Promise<string | undefined> {
    return this.parse(entry, this.parts.files.moduleSource(entry.name)).then(
      ({ configuration }) => configuration.digest,
      () => undefined,
    );
  }

  private async entry(name: string): Promise<ModuleEntry> {
    const entries = await this.parts.files.modules();
    const found = entries.find((entry) => entry.name === name);
    if (found === undefined) {
      const known = entries.map((entry) => entry.name).join(', ') || 'none';
      throw new HoldfastError('HF_MODULE_UNKNOWN', `no module "${name}" on ${this.node}; installed: ${known}`, { module: name });
    }
    return found;
  }

  private async runtime(name: string): Promise<ModuleRuntime> {
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
    return viewOf(runtime, await this.editedDigest(entry));
  }

  async resources(name: string): Promise<readonly ResourceView[]> {
    return (await this.runtime(name)).parts.resources.list();
  }

  async log(name: string, query: { after?: number; limit?: number; levels?: string }): Promise<readonly LogEntry[]> {
    await this.entry(name);
    return this.parts.log.query(name, query);
  }

  async command(name: string, verb: Verb, options: VerbOptions): Promise<void> {
    const runtime = await this.runtime(name);
    runtime.command(commandOf(verb, options));
  }

  async verify(name: string, options: VerificationOptions): Promise<{ readonly id: string }> {
    return (await this.runtime(name)).verify(options);
  }

  async cancelVerification(name: string): Promise<void> {
    await (await this.runtime(name)).parts.replica?.cancelVerify?.();
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
    await this.parts.files.copyInto(source, this.parts.files.moduleSource(name));
    const entry = { name, id };
    await this.parts.files.writeModules([...entries.filter((other) => other.name !== name), entry].sort((a, b) => a.id - b.id));
    this.parts.log.write('U', name, 'agent', `module ${name} (${manifest.version}) installed with id ${id} from ${basename(source)}`);
    return this.listEntry(entry);
  }

  async uninstall(name: string): Promise<void> {
    const entry = await this.entry(name);
    await this.unload(name);
    const entries = await this.parts.files.modules();
    await this.parts.files.writeModules(entries.filter((other) => other.name !== entry.name));
    await rm(this.parts.files.moduleSource(name), { recursive: true, force: true });
    await rm(this.parts.files.moduleState(name), { recursive: true, force: true });
    this.parts.log.write('U', name, 'agent', `module ${name} uninstalled; its data directories are untouched`);
  }

  /** Takes a stopped module out of service. */
  private async unload(name: string): Promise<void> {
    const runtime = this.runtimes.get(name);
    if (runtime === undefined) return;
    if (runtime.snapshot.phase !== 'STOP' || runtime.snapshot.sequence !== undefined) {
      throw new HoldfastError('HF_MODULE_RUNNING', `module ${name} is ${runtime.snapshot.phase} on ${this.node}: stop it first`, {
        module: name,
      });
    }
    this.runtimes.delete(name);
    await closeRuntime(runtime);
  }

  async configure(name: string, options: { check?: boolean }): Promise<ConfigureResult> {
    const entry = await this.entry(name);
    const source = this.parts.files.moduleSource(name);
    const { configuration, warnings } = await this.parse(entry, source);
    await this.refuseOverlaps(configuration);
    const result = { module: name, digest: configuration.digest, warnings };
    if (options.check === true) return result;
    await this.unload(name);
    await this.parts.files.copyInto(source, this.parts.files.applied(name));
    await this.run(configuration).catch((error: unknown) => {
      this.noteRefused(name, error);
      throw error;
    });
    this.parts.log.write('U', name, 'agent', `configuration ${configuration.digest.slice(0, 12)} applied`);
    return result;
  }

  private async refuseOverlaps(candidate: ModuleConfiguration): Promise<void> {
    const others = (await this.parts.files.modules()).filter(({ name }) => name !== candidate.name);
    const claims = [{ name: candidate.name, directories: this.parts.loader.directories(candidate) }];
    for (const { name } of others) {
      const runtime = this.runtimes.get(name);
      if (runtime !== undefined) claims.push({ name, directories: this.parts.loader.directories(runtime.parts.configuration) });
    }
    const [overlap] = findOverlaps(claims);
    if (overlap === undefined) return;
    throw new HoldfastError('HF_CONFIG_OVERLAP', `replicated directories of two modules overlap: ${JSON.stringify(overlap)}`, { overlap });
  }

  subscribe(listener: (entry: LogEntry) => void): () => void {
    return this.parts.log.subscribe(listener);
  }

  /** Stops every module in good order, so that the peer takes over at once, then says goodbye. */
  async stop(): Promise<void> {
    const running = [...this.runtimes.values()];
    for (const runtime of running) if (runtime.snapshot.phase !== 'STOP') runtime.command({ verb: 'stop', shutdown: true });
    const end = Date.now() + SHUTDOWN_MS;
    while (running.some(({ snapshot }) => snapshot.phase !== 'STOP' || snapshot.sequence !== undefined) && Date.now() < end) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await Promise.all(running.map((runtime) => closeRuntime(runtime)));
    this.runtimes.clear();
  }
}

async function closeRuntime(runtime: ModuleRuntime): Promise<void> {
  runtime.close();
  const { checks, replica, addresses, heartbeat } = runtime.parts;
  await checks.stopAll();
  await replica?.close();
  for (const address of addresses) await address.close();
  await heartbeat.close({ goodbye: true });
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
  if (options.nosync === true)
    throw new HoldfastError('HF_COMMAND_REFUSED', 'swap nosync is not supported: it would leave the nodes different');
  switch (verb) {
    case 'start':
      return { verb, boot: false };
    case 'stop':
      return { verb, shutdown: false };
    case 'restart':
    case 'stopstart':
      return { verb, automatic: options.identity !== undefined };
    case 'swap':
    case 'prim':
      return { verb };
    case 'second':
      return { verb, fullsync: options.fullsync === true };
  }
}
