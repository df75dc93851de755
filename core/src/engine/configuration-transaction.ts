/**
 * One configuration on both nodes, or on none: two phases over the peer's API. This node coordinates: both store the configuration beside
 * the one that holds, the rename on this node is the decision, and then the other one follows. What a node knows of it is on its disk:
 *
 * - a coordinator that dies before its rename has decided nothing, and forgets what it had prepared when it is back;
 * - a participant that has prepared never decides by itself: it keeps the old configuration and asks until it is told;
 * - a transaction that the coordinator does not know, and does not carry out at this moment, was never committed.
 *
 * So a power cut of either node, at any point, ends with the same configuration on both. A participant that was never reached is another
 * matter: it keeps what it has, and both say so.
 */
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HoldfastError, messageOf } from '@holdfast/sdk';
import type {
  ConfigurationParticipant,
  ConfigureOptions,
  PeerOutcome,
  PrepareAnswer,
  PrepareBody,
  TransactionOutcome,
} from '../api/configuration-contract.js';
import { type ConfigurationHost, examine, type Examined, isActive } from './configuration-examination.js';
import { contentOf, EXPANDED_FILE, type FolderContent, readFolder, refuseUnsafe } from './configuration-folder.js';
import { settled } from './configuration-live.js';
import { type OtherNode, reach, tell } from './configuration-peer.js';
import { ConfigurationSource } from './configuration-source.js';
import { ConfigurationStore } from './configuration-store.js';
import type { EventLog } from './event-log.js';
import type { ModuleLoader } from './module-loader.js';
import type { ModuleEntry, NodeFiles } from './node-files.js';
import { runHook } from './script-hooks.js';

/** A participant that was not told asks after this time, and again at this rhythm. */
const UNTOLD_MS = 10_000;
const ASK_MS = 2_000;

export interface TransactionParts {
  readonly node: string;
  readonly files: NodeFiles;
  readonly loader: ModuleLoader;
  readonly log: EventLog;
  readonly host: ConfigurationHost;
  /** The other node. Absent: a cluster of one. */
  readonly peer?: OtherNode;
}

export interface Applied {
  readonly outcome: 'planned' | 'unchanged' | 'applied';
  readonly examined: Examined;
  readonly live: boolean;
  readonly peer?: PeerOutcome;
}

export class ConfigurationTransactions implements Omit<ConfigurationParticipant, 'files'> {
  /** Modules of which a configuration is being changed here. */
  private readonly busy = new Set<string>();
  /** Of this node as coordinator: not decided yet. */
  private readonly open = new Set<string>();
  private readonly asking = new Map<string, NodeJS.Timeout>();
  private closed = false;

  constructor(
    private readonly parts: TransactionParts,
    /** The source of a module was replaced by what came from the other node. */
    private readonly sourceReplaced: (name: string) => void,
  ) {}

  store(name: string): ConfigurationStore {
    return new ConfigurationStore(this.parts.files.moduleState(name));
  }

  source(name: string): ConfigurationSource {
    const { files } = this.parts;
    return new ConfigurationSource(files.moduleSource(name), files.moduleState(name));
  }

  /** Before the module is loaded: what a crash interrupted is finished or undone, as far as the other node can be asked now. */
  async recover(entry: ModuleEntry): Promise<void> {
    const { node } = this.parts;
    await this.source(entry.name).recover();
    const store = this.store(entry.name);
    await store.recover(node);
    const prepared = await store.prepared();
    if (prepared === undefined) return;
    if (prepared.coordinator !== node) return this.resolve(entry.name);
    await store.discard();
    this.write(entry.name, `configuration ${short(prepared.digest)} was not applied: this node ended before it decided`);
  }

  close(): void {
    this.closed = true;
    for (const timer of this.asking.values()) clearTimeout(timer);
    this.asking.clear();
  }

  /** @throws HoldfastError HF_CONFIG_BUSY */
  async exclusively<T>(name: string, work: () => Promise<T>): Promise<T> {
    if (this.busy.has(name)) {
      throw new HoldfastError(
        'HF_CONFIG_BUSY',
        `another change of the configuration of ${name} is under way on ${this.parts.node}: try again`,
        {
          module: name,
        },
      );
    }
    this.busy.add(name);
    try {
      return await work();
    } finally {
      this.busy.delete(name);
    }
  }

  /** Coordinates. @throws HoldfastError what either node has against it; then nothing has changed anywhere */
  async apply(entry: ModuleEntry, content: FolderContent, origin: string, options: ConfigureOptions): Promise<Applied> {
    const { host, loader, node, peer } = this.parts;
    await settled(host.running(entry.name)?.runtime);
    const examined = await examine(host, loader, entry, content);
    const transaction = randomBytes(16).toString('hex');
    const body = { ...encoded(content), transaction, coordinator: node, origin };
    const isOwn = examined.planned.configuration.service.mode === 'light';
    const other = options.local === true || isOwn ? undefined : peer;
    if (options.dryRun === true) {
      const answer = other === undefined ? undefined : await reach(other, entry.name, { ...body, dryRun: true });
      return { outcome: 'planned', examined, live: examined.live !== undefined, ...(answer === undefined ? {} : { peer: answer }) };
    }
    refuseStopNeeded(entry.name, node, examined);
    const store = this.store(entry.name);
    const before = await store.applied();
    this.open.add(transaction);
    try {
      const number = await store.prepare(content, this.record(examined, body));
      const reached =
        other === undefined
          ? undefined
          : await reach(other, entry.name, body).catch(async (error: unknown) => {
              await store.discard();
              throw error;
            });
      const isSame = before?.signature === content.signature && host.running(entry.name) !== undefined;
      if (isSame && reached?.outcome !== 'applied') {
        await store.discard();
        return { outcome: 'unchanged', examined, live: examined.live !== undefined, ...(reached === undefined ? {} : { peer: reached }) };
      }
      await this.decide(entry, store, number, examined).catch(async (error: unknown) => {
        await other?.participant.abort(entry.name, transaction).catch(() => undefined);
        throw error;
      });
      this.open.delete(transaction);
      const [own, told] = await Promise.allSettled([
        this.activate(entry, content),
        other === undefined || reached?.outcome !== 'applied' ? reached : this.tell(other, entry.name, transaction, reached),
      ]);
      // It is decided, and the other node has heard of it; what remains is that this module could not take it.
      if (own.status === 'rejected') throw own.reason;
      const outcome = told.status === 'fulfilled' ? told.value : undefined;
      return { outcome: 'applied', examined, live: own.value, ...(outcome === undefined ? {} : { peer: outcome }) };
    } finally {
      this.open.delete(transaction);
    }
  }

  private record(
    examined: Examined,
    body: Pick<PrepareBody, 'transaction' | 'coordinator' | 'origin'>,
  ): Parameters<ConfigurationStore['prepare']>[1] {
    const { transaction, coordinator, origin } = body;
    const { digest } = examined.planned.configuration;
    return { digest, signature: examined.content.signature, transaction, coordinator, origin, preparedAt: new Date().toISOString() };
  }

  /** The rename, after the module's own word. @throws HoldfastError nothing was decided */
  private async decide(entry: ModuleEntry, store: ConfigurationStore, number: number, examined: Examined): Promise<void> {
    try {
      await this.hook(examined, store.moduleFolder(number));
      await store.commit(number);
    } catch (error) {
      if ((await store.applied())?.number === number) {
        this.write(entry.name, `the configuration is applied, but its folder could not be synced: ${messageOf(error)}`, 'C');
        return;
      }
      await store.discard().catch(() => undefined);
      throw error;
    }
  }

  private async tell(other: OtherNode, name: string, transaction: string, reached: PeerOutcome): Promise<PeerOutcome> {
    const outcome = await tell(other, name, transaction, reached);
    if (outcome.outcome !== reached.outcome) this.write(name, outcome.text, 'C');
    return outcome;
  }

  async prepare(name: string, body: PrepareBody): Promise<PrepareAnswer> {
    const { host, loader, node } = this.parts;
    return this.exclusively(name, async () => {
      const entry = await host.entry(name);
      const content = decoded(body);
      await settled(host.running(name)?.runtime);
      const examined = await examine(host, loader, entry, content);
      const { changes } = examined;
      if (body.dryRun === true) return { outcome: 'planned', changes };
      const store = this.store(name);
      if ((await store.applied())?.signature === content.signature && host.running(name) !== undefined) {
        await store.discard();
        return { outcome: 'unchanged', changes };
      }
      refuseStopNeeded(name, node, examined);
      const number = await store.prepare(content, this.record(examined, body));
      await this.hook(examined, store.moduleFolder(number)).catch(async (error: unknown) => {
        await store.discard();
        throw error;
      });
      this.askIn(name, UNTOLD_MS);
      return { outcome: 'prepared', changes };
    });
  }

  async commit(name: string, transaction: string): Promise<void> {
    const entry = await this.parts.host.entry(name);
    await this.exclusively(name, async () => {
      const store = this.store(name);
      if ((await store.applied())?.transaction === transaction) return;
      if ((await store.prepared())?.transaction !== transaction) {
        const message = `${name} has nothing prepared of this change on ${this.parts.node}: it was given up here`;
        throw new HoldfastError('HF_CONFIG_TRANSACTION_UNKNOWN', message, { transaction });
      }
      await this.follow(entry, store);
    });
  }

  async abort(name: string, transaction: string): Promise<void> {
    await this.exclusively(name, async () => {
      const store = this.store(name);
      if ((await store.prepared())?.transaction !== transaction) return;
      this.forget(name);
      await store.discard();
      this.write(name, 'the configuration that was prepared is given up: the node that coordinates did not apply it');
    });
  }

  async outcome(name: string, transaction: string): Promise<{ readonly outcome: TransactionOutcome }> {
    const isCommitted = (await this.store(name).history()).some((record) => record.transaction === transaction);
    const applied = await this.store(name).applied();
    if (isCommitted || applied?.transaction === transaction) return { outcome: 'committed' };
    return { outcome: this.open.has(transaction) ? 'pending' : 'aborted' };
  }

  /** A participant applies what it has prepared. */
  private async follow(entry: ModuleEntry, store: ConfigurationStore): Promise<void> {
    const prepared = await store.prepared();
    if (prepared === undefined) return;
    this.forget(entry.name);
    const before = await store.applied();
    const content = await readFolder(store.moduleFolder(prepared.number));
    await store.commit(prepared.number);
    const kept = await this.source(entry.name).follow(content, before?.signature);
    if (kept !== undefined) this.write(entry.name, `the source had edits that were not applied; they are kept in ${kept}`, 'C');
    this.sourceReplaced(entry.name);
    await this.activate(entry, content);
  }

  /** Asks the coordinator what became of a prepared configuration, until it answers. */
  private async resolve(name: string): Promise<void> {
    const { host, peer } = this.parts;
    this.forget(name);
    const store = this.store(name);
    const prepared = await store.prepared();
    if (prepared === undefined || this.closed) return;
    try {
      if (peer === undefined) throw new HoldfastError('HF_NODE_UNKNOWN', `there is no node ${prepared.coordinator}`);
      const { outcome } = await peer.participant.outcome(name, prepared.transaction);
      if (outcome === 'pending') return void this.askIn(name, ASK_MS);
      await this.exclusively(name, async () => {
        if ((await store.prepared())?.transaction !== prepared.transaction) return;
        if (outcome === 'committed') await this.follow(await host.entry(name), store);
        else await store.discard();
      });
      const what = outcome === 'committed' ? 'was applied there, and is now applied here' : 'was not applied there, and is given up';
      this.write(name, `${prepared.coordinator} tells: configuration ${short(prepared.digest)} ${what}`);
    } catch (error) {
      this.parts.log.write('D', name, 'configuration', `${prepared.coordinator} cannot be asked: ${messageOf(error)}`);
      this.askIn(name, ASK_MS);
    }
  }

  private askIn(name: string, ms: number): void {
    this.forget(name);
    if (this.closed) return;
    const timer = setTimeout(() => {
      void this.resolve(name);
    }, ms);
    this.asking.set(name, timer.unref());
  }

  private forget(name: string): void {
    clearTimeout(this.asking.get(name));
    this.asking.delete(name);
  }

  /** The applied configuration becomes the module's. @returns whether it went on running */
  private async activate(entry: ModuleEntry, content: FolderContent): Promise<boolean> {
    const { host, loader } = this.parts;
    const { name } = entry;
    const examined = await examine(host, loader, entry, content);
    const { configuration } = examined.planned;
    const text = `configuration ${short(configuration.digest)} applied`;
    await writeFile(join(this.parts.files.applied(name), EXPANDED_FILE), examined.expandedXml);
    if (examined.refused.length > 0) {
      this.write(name, `${text}; the running module keeps the one before until it is started again: ${sentences(examined)}`, 'C');
      return true;
    }
    if (examined.live === undefined) {
      await host.reload(entry, examined.planned);
      this.write(name, text);
    } else {
      host.taken(name, examined.planned);
      await examined.live();
      this.write(name, `${text} while the module runs: ${sentences(examined)}`);
    }
    await runHook('postconfig', configuration, loader.scriptsOf(configuration), this.parts.log);
    return examined.live !== undefined;
  }

  /** A module that is about to start takes what was applied while it could not. */
  async refresh(name: string): Promise<void> {
    const { host } = this.parts;
    const [applied, now] = [await this.store(name).applied(), host.running(name)];
    if (applied === undefined || now === undefined || isActive(now.runtime)) return;
    const content = await readFolder(this.store(name).moduleFolder(applied.number));
    const entry = await host.entry(name);
    const examined = await examine(host, this.parts.loader, entry, content);
    if (examined.planned.configuration.digest !== now.planned.configuration.digest) await host.reload(entry, examined.planned);
  }

  /** The module's own word on its new configuration. @throws HoldfastError HF_CONFIG_HOOK */
  private async hook({ planned }: Examined, folder: string): Promise<void> {
    const { loader, log, node } = this.parts;
    const scripts = { ...loader.scriptsOf(planned.configuration), directory: join(folder, 'bin') };
    for (const script of ['confcheck', 'config'] as const) {
      await runHook(script, planned.configuration, scripts, log).catch((error: unknown) => {
        const message = `on ${node} nothing is changed: ${messageOf(error)}`;
        throw new HoldfastError('HF_CONFIG_HOOK', message, { script }, { cause: error });
      });
    }
  }

  private write(name: string, text: string, level: 'C' | 'U' = 'U'): void {
    this.parts.log.write(level, name, 'configuration', text);
  }
}

/** @throws HoldfastError HF_CONFIG_STOP_NEEDED with what the running module cannot take */
function refuseStopNeeded(name: string, node: string, { refused }: Examined): void {
  if (refused.length === 0) return;
  const texts = refused.map(({ text }) => text);
  const message = `${name} runs on ${node} and cannot take this, nothing is changed: ${texts.join('; ')}`;
  throw new HoldfastError('HF_CONFIG_STOP_NEEDED', message, { module: name, node, refused });
}

function sentences({ changes }: Examined): string {
  return changes.map(({ text }) => text).join('; ') || 'nothing that the module reads has changed';
}

function short(digest: string): string {
  return digest.slice(0, 12);
}

export function encoded({ files }: FolderContent): Pick<PrepareBody, 'files'> {
  return { files: files.map(({ path, executable, content }) => ({ path, executable, content: content.toString('base64') })) };
}

export function decoded({ files }: Pick<PrepareBody, 'files'>): FolderContent {
  const read = files.map(({ path, executable, content }) => ({ path, executable, content: Buffer.from(content, 'base64') }));
  refuseUnsafe(read);
  return contentOf(read);
}
