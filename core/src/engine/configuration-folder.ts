/**
 * A module's folder as one value: read whole, bounded, and only while nobody writes into it, so that what is checked is what is stored and
 * what is sent to the other node. Links that stay inside are read as what they point at; everything else that is no file is refused.
 */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { lstat, open, readdir, realpath } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { HoldfastError, messageOf } from '@holdfast/sdk';
import { ENV_FILE_MARK } from './script-vhost.js';

export const FOLDER_FILES_MAX = 1000;
export const FOLDER_BYTES_MAX = 16 * 1024 * 1024;
const DEPTH_MAX = 16;
/** The configuration with its macros resolved: scripts of existing modules read it. */
export const EXPANDED_FILE = 'conf/safeconf.xml';
const ATTEMPTS = 5;
const SETTLE_MS = 100;
/** No absolute path, no `..`, no empty part, no control character. */
const PATH = /^(?!\/)(?!.*(?:^|\/)\.{1,2}(?:\/|$))(?!.*\/(?:\/|$))[^\p{Cc}\\]{1,500}$/u;

export interface FolderFile {
  /** Relative to the folder, with slashes. */
  readonly path: string;
  readonly executable: boolean;
  readonly content: Buffer;
}

export interface FolderContent {
  /** In the order of their paths. */
  readonly files: readonly FolderFile[];
  /** SHA-256 over paths, executability and content, hexadecimal. */
  readonly signature: string;
}

/** What a changed file cannot hide. */
interface Mark {
  readonly text: string;
  readonly changedAtMs: number;
}

type Marks = ReadonlyMap<string, Mark>;

/** @throws HoldfastError HF_CONFIG_FOLDER_… */
export async function readFolder(folder: string): Promise<FolderContent> {
  for (let attempt = 1; ; attempt += 1) {
    const before = await marksOf(folder);
    const files = await readFiles(folder, before);
    const after = await marksOf(folder);
    if (files !== undefined && isSame(before, after) && !isFresh(after)) return contentOf(files);
    if (attempt === ATTEMPTS) {
      const message = `${folder} is being written to: wait until the copy or the editor has finished, and try again`;
      throw new HoldfastError('HF_CONFIG_FOLDER_CHANGING', message, { folder });
    }
    await delay(SETTLE_MS);
  }
}

export function contentOf(files: readonly FolderFile[]): FolderContent {
  const sorted = files.filter((file) => !isWritten(file)).sort((a, b) => (a.path < b.path ? -1 : 1));
  const hash = createHash('sha256');
  for (const { path, executable, content } of sorted) hash.update(JSON.stringify([path, executable, content.length])).update(content);
  return { files: sorted, signature: hash.digest('hex') };
}

/** What the engine itself writes into an applied copy, for the module's scripts. */
function isWritten({ path, content }: FolderFile): boolean {
  return path === EXPANDED_FILE || content.subarray(0, ENV_FILE_MARK.length).toString() === ENV_FILE_MARK;
}

/** Files that came from elsewhere. @throws HoldfastError HF_CONFIG_FOLDER_PATH, HF_CONFIG_FOLDER_LARGE */
export function refuseUnsafe(files: readonly FolderFile[]): void {
  const seen = new Set<string>();
  for (const { path } of files) {
    if (!PATH.test(path) || seen.has(path) || [...seen].some((other) => path.startsWith(`${other}/`) || other.startsWith(`${path}/`))) {
      throw new HoldfastError('HF_CONFIG_FOLDER_PATH', `${JSON.stringify(path)} is no name of a file in a module folder`, { path });
    }
    seen.add(path);
  }
  refuseLarge(
    'the module',
    files.map(({ path, content }) => [path, content.length]),
  );
}

function refuseLarge(folder: string, sizes: readonly (readonly [path: string, bytes: number])[]): void {
  if (sizes.length > FOLDER_FILES_MAX) {
    const message = `${folder} has more than ${FOLDER_FILES_MAX} files: keep the application elsewhere`;
    throw new HoldfastError('HF_CONFIG_FOLDER_LARGE', message, { files: sizes.length });
  }
  const bytes = sizes.reduce((sum, [, size]) => sum + size, 0);
  if (bytes <= FOLDER_BYTES_MAX) return;
  const [path, size] = [...sizes].sort((a, b) => b[1] - a[1])[0] ?? ['', 0];
  const mib = (count: number): string => `${(count / 1024 / 1024).toFixed(1)} MiB`;
  const most = `${path} alone has ${mib(size)}; keep the application elsewhere`;
  const message = `${folder} has ${mib(bytes)}, at most ${mib(FOLDER_BYTES_MAX)}: ${most}`;
  throw new HoldfastError('HF_CONFIG_FOLDER_LARGE', message, { bytes, largest: path });
}

async function marksOf(folder: string): Promise<Marks> {
  const marks = new Map<string, Mark>();
  const sizes: [string, number][] = [];
  const walk = async (directory: string, depth: number): Promise<void> => {
    if (depth > DEPTH_MAX)
      throw new HoldfastError('HF_CONFIG_FOLDER_LARGE', `${directory} is deeper than ${DEPTH_MAX} folders`, { directory });
    const names = await readdir(directory).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw new HoldfastError('HF_CONFIG_FOLDER_UNREADABLE', `${directory} cannot be read: ${messageOf(error)}`, { directory });
    });
    for (const name of names.sort()) {
      const path = join(directory, name);
      const found = await lstat(path).catch(() => undefined);
      // Gone since: the next look finds a difference.
      if (found === undefined) continue;
      if (found.isDirectory()) await walk(path, depth + 1);
      else {
        const key = relative(folder, path);
        const target = found.isSymbolicLink() ? await lstat(await targetInside(folder, path)).catch(() => found) : found;
        if (!target.isFile()) refuseSpecial(path);
        const text = [target.ino, target.size, target.mtimeMs, target.ctimeMs, target.mode].join();
        marks.set(key, { text, changedAtMs: target.ctimeMs });
        sizes.push([key, target.size]);
        refuseLarge(folder, sizes);
      }
    }
  };
  await walk(folder, 0);
  return marks;
}

async function targetInside(folder: string, path: string): Promise<string> {
  const target = await realpath(path).catch(() => undefined);
  const inside = target !== undefined && target.startsWith(`${await realpath(folder)}/`);
  if (inside) return target;
  const where = target === undefined ? 'nothing' : target;
  const message = `${path} is a link to ${where}: links must stay inside the module folder; put a copy of the file there`;
  throw new HoldfastError('HF_CONFIG_FOLDER_LINK', message, { path });
}

function refuseSpecial(path: string): never {
  throw new HoldfastError('HF_CONFIG_FOLDER_SPECIAL', `${path} is no plain file: a module folder holds files and folders only`, { path });
}

/** undefined: a file changed or vanished meanwhile. */
async function readFiles(folder: string, marks: Marks): Promise<FolderFile[] | undefined> {
  const files: FolderFile[] = [];
  for (const path of marks.keys()) {
    if (!PATH.test(path))
      throw new HoldfastError('HF_CONFIG_FOLDER_PATH', `${JSON.stringify(path)} in ${folder} is no usable file name`, { path });
    const full = join(folder, path);
    try {
      // Not blocking: what became a pipe since must not hold up the agent.
      const handle = await open(full, constants.O_RDONLY | constants.O_NONBLOCK);
      try {
        const found = await handle.stat();
        if (!found.isFile() || found.size > FOLDER_BYTES_MAX) return undefined;
        files.push({ path, executable: (found.mode & 0o111) !== 0, content: await handle.readFile() });
      } finally {
        await handle.close();
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw new HoldfastError('HF_CONFIG_FOLDER_UNREADABLE', `${full} cannot be read: ${messageOf(error)}`, { path });
    }
  }
  return files;
}

function isSame(one: Marks, other: Marks): boolean {
  return one.size === other.size && [...one].every(([path, { text }]) => other.get(path)?.text === text);
}

/** Somebody who copies or saves may only be taking a breath. A time in the future (the clock was set back) says nothing. */
function isFresh(marks: Marks): boolean {
  const nowMs = Date.now();
  return [...marks.values()].some(({ changedAtMs }) => changedAtMs <= nowMs && nowMs - changedAtMs < SETTLE_MS);
}
