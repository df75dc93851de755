/**
 * The configurations of a node's modules, for its operators: what was edited becomes what is applied, and back. How both nodes come to the
 * same is in configuration-transaction.ts; nothing here decides.
 */
import { join } from 'node:path';
import { HoldfastError, messageOf } from '@holdfast/sdk';
import type {
  ConfigurationDifference,
  ConfigurationFiles,
  ConfigurationService,
  ConfigurationView,
  ConfigureOptions,
  ConfigureResult,
  KeptConfiguration,
  PrepareAnswer,
  PrepareBody,
  TransactionOutcome,
} from '../api/configuration-contract.js';
import { isAlive } from '../decide/detector.js';
import { examine, planOf, userconfigOf } from './configuration-examination.js';
import type { FolderContent } from './configuration-folder.js';
import type { ConfigurationRecord } from './configuration-store.js';
import { type Applied, ConfigurationTransactions, decoded, encoded, type TransactionParts } from './configuration-transaction.js';
import { ConfigurationWatch } from './configuration-watch.js';
import { LightRuntime } from './light-runtime.js';
import type { ModuleEntry } from './node-files.js';
import { runHook } from './script-hooks.js';
import { unifiedDifference } from './unified-difference.js';

export class ConfigurationKeeper implements ConfigurationService {
  readonly transactions: ConfigurationTransactions;
  private readonly watch: ConfigurationWatch;
  /** Of the edited source, by module; forgotten when the folder changes. */
  private readonly edited = new Map<string, string | undefined>();
  /** Signature of the edit that was noticed last. */
  private readonly noted = new Map<string, string>();

  constructor(private readonly parts: TransactionParts) {
    this.transactions = new ConfigurationTransactions(parts, (name) => {
      this.installed(name);
    });
    this.watch = new ConfigurationWatch(
      (name) => this.edited.delete(name),
      (name) => this.noteEdited(name),
      (text) => parts.log.write('C', '', 'configuration', text),
    );
  }

  /** Before the module is loaded. */
  async recover(entry: ModuleEntry): Promise<void> {
    await this.transactions.recover(entry);
    this.watch.add(entry.name, this.parts.files.moduleSource(entry.name));
  }

  /** The module was installed, or its source replaced. */
  installed(name: string): void {
    this.edited.delete(name);
    this.watch.add(name, this.parts.files.moduleSource(name));
  }

  async uninstalled(name: string): Promise<void> {
    this.edited.delete(name);
    await this.watch.remove(name);
  }

  async close(): Promise<void> {
    this.transactions.close();
    await this.watch.close();
  }

  private async noteEdited(name: string): Promise<void> {
    const applied = await this.transactions.store(name).applied();
    const { signature } = await this.transactions.source(name).read();
    if (applied === undefined || signature === applied.signature || this.noted.get(name) === signature) return;
    this.noted.set(name, signature);
    this.parts.log.write('I', name, 'configuration', `edited, not applied: "holdfast module config -m ${name}"`);
  }

  /** Digest of the edited source; undefined: it cannot be applied. Read again only when the folder has changed. */
  async editedDigest(entry: ModuleEntry): Promise<string | undefined> {
    if (this.edited.has(entry.name) && this.watch.isWatching(entry.name)) return this.edited.get(entry.name);
    const digest = await this.transactions
      .source(entry.name)
      .read()
      .then((content) => planOf(this.parts.host, entry, content).planned.configuration.digest)
      .catch(() => undefined);
    this.edited.set(entry.name, digest);
    return digest;
  }

  async configure(name: string, options: ConfigureOptions): Promise<ConfigureResult> {
    const entry = await this.parts.host.entry(name);
    const source = this.transactions.source(name);
    if (options.check === true) {
      const { host, loader, log } = this.parts;
      const { planned, warnings, changes, live } = await examine(host, loader, entry, await source.read());
      const { configuration } = planned;
      const { digest } = configuration;
      await runHook('confcheck', configuration, { ...loader.scriptsOf(configuration), directory: join(source.folder, 'bin') }, log);
      return { module: name, digest, warnings, outcome: 'valid', changes, live: live !== undefined };
    }
    return this.transactions.exclusively(name, async () => {
      const applied = await this.transactions.apply(entry, await source.read(), 'config', options);
      return resultOf(name, applied);
    });
  }

  async rollback(name: string, { to, ...options }: ConfigureOptions & { to?: number }): Promise<ConfigureResult> {
    const entry = await this.parts.host.entry(name);
    const store = this.transactions.store(name);
    return this.transactions.exclusively(name, async () => {
      const before = await store.applied();
      const target = to ?? (await store.kept(before?.number))[0]?.number;
      if (target === undefined) {
        throw new HoldfastError('HF_CONFIG_KEPT_UNKNOWN', `no earlier configuration of ${name} is kept on ${this.parts.node}`, {
          module: name,
        });
      }
      const content = await store.content(target);
      const applied = await this.transactions.apply(entry, content, `rollback to ${target}`, options);
      if (applied.outcome !== 'planned') {
        const aside = await this.transactions.source(name).follow(content, before?.signature);
        this.installed(name);
        if (aside !== undefined) {
          this.parts.log.write('U', name, 'configuration', `the source had edits that were not applied; they are kept in ${aside}`);
        }
      }
      return resultOf(name, applied);
    });
  }

  async deconfigure(name: string): Promise<void> {
    const { host, loader } = this.parts;
    await host.entry(name);
    await this.transactions.exclusively(name, async () => {
      const store = this.transactions.store(name);
      const applied = await store.applied();
      if (applied === undefined)
        throw new HoldfastError('HF_MODULE_NOT_CONFIGURED', `module ${name} has no applied configuration`, { module: name });
      const now = host.running(name);
      await host.unload(name);
      if (now !== undefined) {
        const { configuration } = now.planned;
        await runHook('deconfig', configuration, loader.scriptsOf(configuration), this.parts.log);
      }
      await store.remove();
      this.parts.log.write(
        'U',
        name,
        'configuration',
        `configuration ${applied.digest.slice(0, 12)} is taken away; it is kept for a rollback`,
      );
    });
  }

  async view(name: string): Promise<ConfigurationView> {
    const { host, node } = this.parts;
    const entry = await host.entry(name);
    const store = this.transactions.store(name);
    const [applied, prepared, edited] = [await store.applied(), await store.prepared(), await this.editedView(entry)];
    const now = host.running(name);
    const state = applied === undefined ? 'not configured' : edited.signature === applied.signature ? 'applied' : 'edited, not applied';
    const mirror = now === undefined || now.runtime instanceof LightRuntime ? undefined : now.runtime;
    const report = mirror?.snapshot.peer;
    const isHeard = mirror !== undefined && isAlive(mirror.snapshot.detector, mirror.parts.clock.monotonicMs());
    return {
      module: name,
      node,
      ...(applied === undefined ? {} : { applied: keptView(applied) }),
      edited,
      state,
      stale: await this.isStale(name),
      ...(prepared === undefined || prepared.coordinator === node
        ? {}
        : { undecided: { digest: prepared.digest, coordinator: prepared.coordinator, since: prepared.preparedAt } }),
      kept: (await store.kept(applied?.number)).map(keptView),
      ...(report === undefined || !isHeard || now === undefined
        ? {}
        : { peer: { node: report.node, digest: report.configuration, same: report.configuration === now.planned.configuration.digest } }),
    };
  }

  /** The module runs with another configuration than the applied one. */
  async isStale(name: string): Promise<boolean> {
    const applied = await this.transactions.store(name).applied();
    const now = this.parts.host.running(name);
    return (
      applied !== undefined && now !== undefined && applied.digest !== now.planned.configuration.digest && applied.transaction !== 'adopted'
    );
  }

  private async editedView(entry: ModuleEntry): Promise<ConfigurationView['edited']> {
    const source = this.transactions.source(entry.name);
    try {
      const content = await source.read();
      const at = await source.changedAt();
      const base = { signature: content.signature, ...(at === undefined ? {} : { at }) };
      try {
        return { ...base, digest: planOf(this.parts.host, entry, content).planned.configuration.digest };
      } catch (error) {
        return { ...base, problem: messageOf(error) };
      }
    } catch (error) {
      return { problem: messageOf(error) };
    }
  }

  async difference(name: string, options: { with?: string }): Promise<ConfigurationDifference> {
    await this.parts.host.entry(name);
    const store = this.transactions.store(name);
    const applied = await store.applied();
    const content = applied === undefined ? undefined : await store.content(applied.number);
    const own = { title: `applied on ${this.parts.node}`, content };
    if (options.with === undefined) {
      return differenceOf(name, own, { title: `edited on ${this.parts.node}`, content: await this.transactions.source(name).read() });
    }
    if (/^[0-9]+$/.test(options.with)) {
      return differenceOf(name, { title: `configuration ${options.with}`, content: await store.content(Number(options.with)) }, own);
    }
    const { peer } = this.parts;
    if (options.with !== peer?.node) {
      throw new HoldfastError(
        'HF_NODE_UNKNOWN',
        `"${options.with}" is neither the number of a kept configuration nor the other node`,
        options,
      );
    }
    return differenceOf(name, { title: `applied on ${peer.node}`, content: decoded(await peer.participant.files(name)) }, own);
  }

  async files(name: string): Promise<ConfigurationFiles> {
    await this.parts.host.entry(name);
    const store = this.transactions.store(name);
    const applied = await store.applied();
    return applied === undefined ? { files: [] } : encoded(await store.content(applied.number));
  }

  prepare(name: string, body: PrepareBody): Promise<PrepareAnswer> {
    return this.transactions.prepare(name, body);
  }

  commit(name: string, transaction: string): Promise<void> {
    return this.transactions.commit(name, transaction);
  }

  abort(name: string, transaction: string): Promise<void> {
    return this.transactions.abort(name, transaction);
  }

  outcome(name: string, transaction: string): Promise<{ readonly outcome: TransactionOutcome }> {
    return this.transactions.outcome(name, transaction);
  }
}

function resultOf(module: string, { outcome, examined, live, peer }: Applied): ConfigureResult {
  const { planned, warnings, changes } = examined;
  const { digest } = planned.configuration;
  return { module, digest, warnings, outcome, changes, live, ...(peer === undefined ? {} : { peer }) };
}

function keptView({ number, digest, signature, appliedAt, preparedAt, origin }: ConfigurationRecord): KeptConfiguration {
  return { number, digest, signature, at: appliedAt ?? preparedAt, origin };
}

interface Side {
  readonly title: string;
  readonly content: FolderContent | undefined;
}

function differenceOf(module: string, from: Side, to: Side): ConfigurationDifference {
  const [before, after] = [filesOf(from), filesOf(to)];
  const files = [...new Set([...before.keys(), ...after.keys()])].sort().flatMap((path): ConfigurationDifference['files'][number][] => {
    if (path === 'conf/userconfig.xml' || before.get(path) === after.get(path)) return [];
    return [{ path, change: !before.has(path) ? 'added' : !after.has(path) ? 'removed' : 'changed' }];
  });
  const [old, now] = [from, to].map(({ content }) => (content === undefined ? undefined : userconfigOf(content)) ?? '');
  const text = unifiedDifference(old ?? '', now ?? '', [from.title, to.title]);
  return { module, from: from.title, to: to.title, same: text === '' && files.length === 0, text, files };
}

function filesOf({ content }: Side): ReadonlyMap<string, string> {
  return new Map(
    (content?.files ?? []).map(({ path, executable, content: bytes }) => [path, `${executable ? 'x' : '-'}${bytes.toString('base64')}`]),
  );
}
