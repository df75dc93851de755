/**
 * Two nodes whose configurations are kept by the engine's own classes in folders on disk. A node may die at any change of them:
 * from that call on it changes nothing and nobody reaches it, until it is started again from what is on its disk.
 */
import fsPromises from 'node:fs/promises';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HoldfastError } from '@holdfast/sdk';
import type { ConfigurationParticipant, ConfigureOptions, PrepareBody } from '../src/api/configuration-contract.js';
import { parseModule } from '../src/config/index.js';
import type { ConfigurationHost } from '../src/engine/configuration-examination.js';
import { type Applied, ConfigurationTransactions } from '../src/engine/configuration-transaction.js';
import { EventLog } from '../src/engine/event-log.js';
import type { ModuleLoader } from '../src/engine/module-loader.js';
import { NodeFiles } from '../src/engine/node-files.js';
import { CLUSTER } from './config-fixtures.js';

const MODULE = 'ledger';
const ENTRY = { name: MODULE, id: 1 };
const CHANGING = ['mkdir', 'rename', 'rm', 'symlink', 'unlink', 'cp', 'open'] as const;

/** What a process sees that has lost its power: nothing happens any more. */
export class PowerLost extends Error {}

export class TestNode {
  readonly root: string;
  readonly files: NodeFiles;
  /** Digest that its module runs with. */
  runs: string | undefined;
  isDead = false;
  peer: TestNode | undefined;
  transactions: ConfigurationTransactions;

  constructor(
    readonly name: string,
    folder: string,
  ) {
    this.root = join(folder, name);
    this.files = new NodeFiles(join(this.root, 'config'), join(this.root, 'state'));
    mkdirSync(join(this.files.moduleSource(MODULE), 'conf'), { recursive: true });
    mkdirSync(join(this.files.moduleSource(MODULE), 'bin'), { recursive: true });
    mkdirSync(this.files.moduleState(MODULE), { recursive: true });
    this.transactions = this.begin();
  }

  private begin(): ConfigurationTransactions {
    const { files, name } = this;
    const host: ConfigurationHost = {
      entry: async () => ENTRY,
      parse: (entry, xml, scripts) =>
        parseModule(xml, 'userconfig.xml', { ...entry, cluster: CLUSTER, environment: {}, elements: [], extraDigest: scripts }),
      refuseOverlaps: async () => undefined,
      running: () => undefined,
      taken: () => undefined,
      reload: async (_entry, { configuration }) => {
        this.runs = configuration.digest;
      },
      unload: async () => undefined,
    };
    // Nothing runs here, so it is asked only where hooks would be.
    const scripts = { directory: join(this.root, 'bin'), environment: {}, logDirectory: join(this.root, 'logs') };
    const loader = { scriptsOf: () => scripts } as unknown as ModuleLoader;
    const log = new EventLog(join(this.root, 'events.jsonl'), name);
    const other = (): TestNode | undefined => (this.isDead || this.peer?.isDead === true ? undefined : this.peer);
    return new ConfigurationTransactions(
      { node: name, files, loader, log, host, peer: { node: name === 'n1' ? 'n2' : 'n1', participant: participantOf(other) } },
      () => undefined,
    );
  }

  edit(maxloop: number, script = `echo ${maxloop}`): void {
    const source = this.files.moduleSource(MODULE);
    const networks = CLUSTER.lans.map((lan) => `<heartbeat name="${lan.name}"/>`).join('');
    writeFileSync(
      join(source, 'conf', 'userconfig.xml'),
      `<safe>\n<service mode="mirror" maxloop="${maxloop}">\n<heart>${networks}</heart>\n<user/>\n</service>\n</safe>\n`,
    );
    writeFileSync(join(source, 'module.json'), '{"id":"ledger","title":"Ledger","version":"1.0.0"}');
    for (const name of ['start_prim', 'stop_prim']) writeFileSync(join(source, 'bin', name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  }

  async configure(options: ConfigureOptions = {}): Promise<Applied> {
    const content = await this.transactions.source(MODULE).read();
    return this.transactions.exclusively(MODULE, () => this.transactions.apply(ENTRY, content, 'config', options));
  }

  /** After a power cut: what the agent does before it loads its modules. */
  async restart(): Promise<void> {
    this.transactions.close();
    this.isDead = false;
    this.runs = undefined;
    this.transactions = this.begin();
    await this.transactions.recover(ENTRY);
  }

  /** maxloop of the applied configuration as it is on the disk, from the very file, and that every file of it is there. */
  async applied(): Promise<number | undefined> {
    const record = await this.transactions.store(MODULE).applied();
    if (record === undefined) return undefined;
    const content = await this.transactions.store(MODULE).content(record.number);
    if (content.signature !== record.signature) throw new Error(`${this.name}: the applied configuration is not whole`);
    const xml = readFileSync(join(this.files.applied(MODULE), 'conf', 'userconfig.xml'), 'utf8');
    return Number(/maxloop="(\d+)"/.exec(xml)?.[1]);
  }

  async undecided(): Promise<boolean> {
    return (await this.transactions.store(MODULE).prepared()) !== undefined;
  }
}

/** The way to the other node: an answer of a node that has died meanwhile never comes. */
function participantOf(other: () => TestNode | undefined): ConfigurationParticipant {
  const ask = async <T>(call: (participant: ConfigurationTransactions) => Promise<T>): Promise<T> => {
    const unreachable = (): HoldfastError => new HoldfastError('HF_NODE_UNREACHABLE', 'the other node does not answer');
    const node = other();
    if (node === undefined) throw unreachable();
    const outcome = await call(node.transactions).then(
      (value) => ({ value }),
      (error: unknown) => ({ error }),
    );
    if (other() === undefined) throw unreachable();
    if ('error' in outcome) throw outcome.error;
    return outcome.value;
  };
  return {
    prepare: (module: string, body: PrepareBody) => ask((node) => node.prepare(module, body)),
    commit: (module, transaction) => ask((node) => node.commit(module, transaction)),
    abort: (module, transaction) => ask((node) => node.abort(module, transaction)),
    outcome: (module, transaction) => ask((node) => node.outcome(module, transaction)),
    files: () => Promise.resolve({ files: [] }),
  };
}

export class TestPair {
  /** In memory where there is such a place: hundreds of configurations are synced here, and no power is really lost. */
  readonly folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'holdfast-configuration-'));
  readonly n1 = new TestNode('n1', this.folder);
  readonly n2 = new TestNode('n2', this.folder);

  constructor() {
    this.n1.peer = this.n2;
    this.n2.peer = this.n1;
  }

  remove(): void {
    this.n1.transactions.close();
    this.n2.transactions.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/**
 * Lets nodes die at the n-th modification that any of them makes (`before` it) while `work` runs.
 * @returns whether it came to that
 */
export async function dieAt(position: number, dying: readonly TestNode[], work: () => Promise<unknown>): Promise<boolean> {
  const original = Object.fromEntries(CHANGING.map((name) => [name, fsPromises[name]]));
  let count = 0;
  const guard = (path: unknown): void => {
    const node = dying.find(({ root }) => String(path).startsWith(`${root}/`));
    if (node === undefined) return;
    if (!node.isDead) count += 1;
    if (!node.isDead && count < position) return;
    for (const one of dying) one.isDead = true;
    throw new PowerLost(`power lost at modification ${position}`);
  };
  for (const name of CHANGING) {
    const call = original[name] as (...words: unknown[]) => Promise<unknown>;
    const guarded = async (...words: unknown[]): Promise<unknown> => {
      // Only what writes; a folder that is opened to be synced counts, because before it the change may not last.
      if (name !== 'open' || words[1] !== undefined) guard(name === 'symlink' ? words[1] : words[0]);
      return call(...words);
    };
    Object.assign(fsPromises, { [name]: guarded });
  }
  syncBuiltinESMExports();
  try {
    await work().catch((error: unknown) => {
      if (!dying.some(({ isDead }) => isDead)) throw error;
    });
    return dying.some(({ isDead }) => isDead);
  } finally {
    Object.assign(fsPromises, original);
    syncBuiltinESMExports();
  }
}
