/**
 * The configurations of one module that were applied, on disk. Each has a folder of its own, written whole and synced before it counts:
 *
 *     configurations/7/module/…    a copy of the module folder
 *     configurations/7/record.json what it is and since when it was applied
 *     applied      -> configurations/7/module    the one that holds
 *     applied.next -> configurations/8/module    prepared, and not yet decided upon
 *
 * Applying is one rename of the second link over the first: after a power cut the old one holds or the new one, and a prepared one is
 * still prepared. It needs no room on the disk. Everything else that a crash leaves behind is known as such and removed.
 */
import { cp, lstat, mkdir, open, readFile, readdir, readlink, rename, rm, symlink, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { HoldfastError, messageOf } from '@holdfast/sdk';
import { type FolderContent, type FolderFile, readFolder } from './configuration-folder.js';
import { syncDirectory } from './durable-file.js';

/** Applied before, besides the one that holds. */
export const KEPT_BEFORE = 3;
/** The same configuration may have been applied more than once: those count as one. */
const FOLDERS_MAX = 9;

export interface ConfigurationRecord {
  readonly number: number;
  /** Of the meaning: what both nodes compare. */
  readonly digest: string;
  /** Of the files. */
  readonly signature: string;
  /** Of the change that brought it, the same on every node that took part. */
  readonly transaction: string;
  /** The node that decides whether it is applied. */
  readonly coordinator: string;
  /** `config`, or `rollback` with the number. */
  readonly origin: string;
  readonly preparedAt: string;
  /** ISO 8601, wall clock of this node; absent: never applied. */
  readonly appliedAt?: string;
}

const LINK = /^configurations\/([0-9]+)\/module$/;

export class ConfigurationStore {
  constructor(private readonly directory: string) {}

  private get all(): string {
    return join(this.directory, 'configurations');
  }

  private folder(number: number | string): string {
    return join(this.all, String(number));
  }

  moduleFolder(number: number): string {
    return join(this.folder(number), 'module');
  }

  /** Puts in order what a crash left behind, and what an earlier release wrote. Nothing that was applied or prepared is lost. */
  async recover(node: string): Promise<void> {
    await this.adopt(node);
    const held = await this.linked('applied');
    const next = await this.linked('applied.next');
    // Between the rename and this mark the power was cut.
    if (held !== undefined) await this.mark(held);
    for (const name of await readdir(this.all).catch(() => [])) {
      const number = Number(name);
      const isUsed = number === held || number === next;
      if (isUsed || (await this.record(number))?.appliedAt !== undefined) continue;
      await rm(join(this.all, name), { recursive: true, force: true });
    }
  }

  /** `applied` was a folder once, exchanged by two renames; a crash between them left `applied.old`. */
  private async adopt(node: string): Promise<void> {
    const path = join(this.directory, 'applied');
    const old = join(this.directory, 'applied.old');
    if ((await kindOf(path)) === 'missing' && (await kindOf(old)) === 'folder') await rename(old, path);
    if ((await kindOf(path)) === 'folder') {
      const content = await readFolder(path);
      const { signature } = content;
      const record = { digest: signature, signature, transaction: 'adopted', coordinator: node, origin: 'config' };
      const number = await this.prepare(content, { ...record, preparedAt: new Date().toISOString() });
      await rename(path, old);
      await this.commit(number);
    }
    await rm(old, { recursive: true, force: true });
  }

  /** The configuration that holds. */
  async applied(): Promise<ConfigurationRecord | undefined> {
    const number = await this.linked('applied');
    return number === undefined ? undefined : this.record(number);
  }

  /** Stored, and waiting for a decision. */
  async prepared(): Promise<ConfigurationRecord | undefined> {
    const number = await this.linked('applied.next');
    return number === undefined ? undefined : this.record(number);
  }

  /** Everything that was ever applied and is kept, newest first. */
  async history(): Promise<readonly ConfigurationRecord[]> {
    const records = await Promise.all((await this.numbers()).map((number) => this.record(number)));
    return records.filter((record) => record?.appliedAt !== undefined).map((record) => record as ConfigurationRecord);
  }

  /** @throws HoldfastError HF_CONFIG_KEPT_UNKNOWN */
  async content(number: number): Promise<FolderContent> {
    if ((await this.record(number)) === undefined) {
      const kept = (await this.history()).map((record) => record.number).join(', ') || 'none';
      throw new HoldfastError('HF_CONFIG_KEPT_UNKNOWN', `no configuration ${number} is kept; kept: ${kept}`, { number });
    }
    return readFolder(this.moduleFolder(number));
  }

  /**
   * Stores a configuration durably, beside the one that holds; one that was prepared before is dropped.
   * @throws HoldfastError HF_CONFIG_STORE: nothing has changed
   */
  async prepare(content: FolderContent, record: Omit<ConfigurationRecord, 'number' | 'appliedAt'>): Promise<number> {
    await this.discard();
    const number = Math.max(0, ...(await this.numbers())) + 1;
    const staging = join(this.all, 'new');
    const link = join(this.directory, 'applied.next');
    try {
      await rm(staging, { recursive: true, force: true });
      await writeFolder(join(staging, 'module'), content.files);
      await writeDurably(join(staging, 'record.json'), `${JSON.stringify({ number, ...record }, null, 2)}\n`);
      await syncDirectory(staging);
      await rename(staging, this.folder(number));
      await syncDirectory(this.all);
      await symlink(`configurations/${number}/module`, link);
      await syncDirectory(this.directory);
      return number;
    } catch (error) {
      await rm(staging, { recursive: true, force: true }).catch(() => undefined);
      await rm(this.folder(number), { recursive: true, force: true }).catch(() => undefined);
      const message = `the configuration could not be stored in ${this.all}: ${messageOf(error)}; nothing is applied and nothing is lost`;
      throw new HoldfastError('HF_CONFIG_STORE', message, { directory: this.all }, { cause: error });
    }
  }

  /** From here on the prepared configuration holds. @throws HoldfastError HF_CONFIG_STORE */
  async commit(number: number): Promise<void> {
    if ((await this.linked('applied.next')) !== number) {
      throw new HoldfastError('HF_CONFIG_STORE', `configuration ${number} is not prepared`, { number });
    }
    await rename(join(this.directory, 'applied.next'), join(this.directory, 'applied'));
    await syncDirectory(this.directory);
    // It is applied; the mark and the tidying are not what it depends on.
    await this.mark(number).catch(() => undefined);
    await this.prune(number).catch(() => undefined);
  }

  /** Forgets what was prepared. Idempotent. */
  async discard(): Promise<void> {
    const number = await this.linked('applied.next');
    await unlink(join(this.directory, 'applied.next')).catch(() => undefined);
    if (number === undefined) return;
    await syncDirectory(this.directory);
    if ((await this.linked('applied')) === number) return;
    await rm(this.folder(number), { recursive: true, force: true });
  }

  /** No configuration holds any more; what is kept stays. */
  async remove(): Promise<void> {
    await this.discard();
    await unlink(join(this.directory, 'applied')).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    });
    await syncDirectory(this.directory);
  }

  /** The ones to go back to: applied before the held one, and other files than it and each other; newest first. */
  async kept(held: number | undefined): Promise<readonly ConfigurationRecord[]> {
    const history = await this.history();
    const seen = new Set(history.filter(({ number }) => number === held).map(({ signature }) => signature));
    const distinct = history.filter(({ signature }) => !seen.has(signature) && seen.add(signature) !== undefined);
    return distinct.slice(0, KEPT_BEFORE);
  }

  private async prune(held: number): Promise<void> {
    const kept = new Set((await this.kept(held)).map(({ number }) => number));
    const before = (await this.history()).filter(({ number }) => number !== held && !kept.has(number));
    for (const { number } of before.slice(FOLDERS_MAX - kept.size)) await rm(this.folder(number), { recursive: true, force: true });
  }

  private async mark(number: number): Promise<void> {
    const record = await this.record(number);
    if (record === undefined || record.appliedAt !== undefined) return;
    const path = join(this.folder(number), 'record.json');
    await writeDurably(`${path}.new`, `${JSON.stringify({ ...record, appliedAt: new Date().toISOString() }, null, 2)}\n`);
    await rename(`${path}.new`, path);
    await syncDirectory(this.folder(number));
  }

  private async linked(name: string): Promise<number | undefined> {
    const target = await readlink(join(this.directory, name)).catch(() => '');
    const number = LINK.exec(target)?.[1];
    return number === undefined ? undefined : Number(number);
  }

  /** Newest first. */
  private async numbers(): Promise<readonly number[]> {
    const names = await readdir(this.all).catch(() => []);
    return names
      .filter((name) => /^[0-9]+$/.test(name))
      .map(Number)
      .sort((a, b) => b - a);
  }

  private async record(number: number): Promise<ConfigurationRecord | undefined> {
    const text = await readFile(join(this.folder(number), 'record.json'), 'utf8').catch(() => undefined);
    return text === undefined ? undefined : (JSON.parse(text) as ConfigurationRecord);
  }
}

async function kindOf(path: string): Promise<'missing' | 'folder' | 'other'> {
  const found = await lstat(path).catch(() => undefined);
  return found === undefined ? 'missing' : found.isDirectory() ? 'folder' : 'other';
}

/** Files, their folders, and the folder above them survive a power cut. */
async function writeFolder(folder: string, files: readonly FolderFile[]): Promise<void> {
  const folders = new Set([folder]);
  await mkdir(folder, { recursive: true });
  for (const { path, executable, content } of files) {
    const full = join(folder, path);
    for (let at = dirname(full); at !== folder; at = dirname(at)) folders.add(at);
    await mkdir(dirname(full), { recursive: true });
    await writeDurably(full, content, executable ? 0o755 : 0o644);
  }
  for (const name of folders) await syncDirectory(name);
}

async function writeDurably(path: string, content: string | Buffer, mode = 0o600): Promise<void> {
  const handle = await open(path, 'w', mode);
  try {
    await handle.writeFile(content);
    await handle.chmod(mode);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Makes a folder hold these files and nothing else: beside it first, so that a crash leaves one of both. */
export async function replaceFolder(target: string, content: FolderContent): Promise<void> {
  await rm(`${target}.new`, { recursive: true, force: true });
  await writeFolder(`${target}.new`, content.files);
  await exchangeFolder(target);
}

/** Copies a folder as it is, for the operator to edit. */
export async function copyFolder(source: string, target: string): Promise<void> {
  await mkdir(dirname(target), { recursive: true });
  await rm(`${target}.new`, { recursive: true, force: true });
  await cp(source, `${target}.new`, { recursive: true, dereference: false, preserveTimestamps: true });
  await exchangeFolder(target);
}

async function exchangeFolder(target: string): Promise<void> {
  await rm(`${target}.old`, { recursive: true, force: true });
  await rename(target, `${target}.old`).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  });
  await rename(`${target}.new`, target);
  await syncDirectory(dirname(target));
  await rm(`${target}.old`, { recursive: true, force: true });
}

/** After a crash between the two renames of an exchange the old folder comes back. */
export async function recoverFolder(target: string): Promise<void> {
  const found = await readdir(target).catch(() => undefined);
  if (found === undefined) await rename(`${target}.old`, target).catch(() => undefined);
  await rm(`${target}.old`, { recursive: true, force: true });
  await rm(`${target}.new`, { recursive: true, force: true });
}
