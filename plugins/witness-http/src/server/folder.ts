/**
 * The server's folder: `clusters/NAME/` with `key` and the two copies of the records. A cluster appears and disappears by one rename, so
 * that adding and removing work beside a running server, which looks at the key again at every request.
 */
import { randomBytes } from 'node:crypto';
import { constants, readFileSync, statSync } from 'node:fs';
import { chown, mkdir, open, readFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HoldfastError, type WitnessedCluster, messageOf } from '@holdfast/sdk';
import { CLUSTER_NAME, preSharedKey } from '../protocol.js';
import { createCopies, loadCopies } from './copies.js';

const KEY_BYTES = 32;
/** Begins a name that is no cluster: what is being made, or removed. */
const HIDDEN = '.';
/** A listing beside a running server may meet a copy in mid-write, but never both. */
const LISTING_ATTEMPTS_MAX = 5;

export const clustersOf = (dataDirectory: string): string => join(dataDirectory, 'clusters');

export async function prepareFolder(dataDirectory: string): Promise<void> {
  await mkdir(clustersOf(dataDirectory), { recursive: true, mode: 0o700 });
}

/** Names of all clusters, sorted. */
export async function clusterNames(dataDirectory: string): Promise<readonly string[]> {
  try {
    return (await readdir(clustersOf(dataDirectory))).filter((name) => !name.startsWith(HIDDEN)).sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw new HoldfastError('HF_WITNESS_STATE', `${dataDirectory} cannot be read: ${messageOf(error)}`, { dataDirectory });
  }
}

/** @returns the key as text. @throws HoldfastError HF_WITNESS_CLUSTER */
export async function addCluster(dataDirectory: string, cluster: string): Promise<string> {
  checkName(cluster);
  await prepareFolder(dataDirectory);
  const clusters = clustersOf(dataDirectory);
  const made = join(clusters, `${HIDDEN}new-${randomBytes(6).toString('hex')}`);
  const key = randomBytes(KEY_BYTES).toString('hex');
  await mkdir(made, { mode: 0o700 });
  try {
    await writeFile(join(made, 'key'), `${key}\n`, { mode: 0o600, flush: true });
    await createCopies(made);
    await giveTo(made, await stat(clusters));
    await syncDirectory(made);
    // Of two that add the same name at once one gets it: a folder with something in it is not replaced.
    await rename(made, join(clusters, cluster));
    await syncDirectory(clusters);
  } catch (error) {
    await rm(made, { recursive: true, force: true });
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error;
    const message = `cluster "${cluster}" is known already; remove it first to make a new key, or choose another name`;
    throw new HoldfastError('HF_WITNESS_CLUSTER', message, { cluster });
  }
  return key;
}

/** @throws HoldfastError HF_WITNESS_CLUSTER */
export async function removeCluster(dataDirectory: string, cluster: string): Promise<void> {
  checkName(cluster);
  const clusters = clustersOf(dataDirectory);
  const gone = join(clusters, `${HIDDEN}removed-${randomBytes(6).toString('hex')}`);
  try {
    await rename(join(clusters, cluster), gone);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw new HoldfastError('HF_WITNESS_CLUSTER', `cluster "${cluster}" is not known in ${dataDirectory}`, { cluster });
  }
  await syncDirectory(clusters);
  await rm(gone, { recursive: true, force: true });
}

export async function listClusters(dataDirectory: string, lastUse: Readonly<Record<string, string>>): Promise<readonly WitnessedCluster[]> {
  const listed: WitnessedCluster[] = [];
  for (const cluster of await clusterNames(dataDirectory)) {
    const directory = join(clustersOf(dataDirectory), cluster);
    const [{ birthtime }, { snapshot }] = await Promise.all([stat(join(directory, 'key')), loadBesideServer(directory)]);
    const lastUseAt = lastUse[cluster];
    const modules = [...snapshot.records].sort().map(([module, stored]) => ({ module, ...stored }));
    listed.push({ cluster, addedAt: birthtime.toISOString(), ...(lastUseAt === undefined ? {} : { lastUseAt }), modules });
  }
  return listed;
}

async function loadBesideServer(directory: string): ReturnType<typeof loadCopies> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await loadCopies(directory);
    } catch (error) {
      if (attempt === LISTING_ATTEMPTS_MAX) throw error;
    }
  }
}

/** A cluster's key as it is on the disk now. */
export interface CurrentKey {
  readonly key: Buffer;
  /** Changes when the cluster was removed and added again. */
  readonly version: string;
}

/**
 * Synchronous, because the TLS handshake asks synchronously: a small file, most often in the cache.
 * @returns undefined when the cluster is not known. @throws HoldfastError when the key is not one
 */
export function currentKey(dataDirectory: string, cluster: string): CurrentKey | undefined {
  const version = currentVersion(dataDirectory, cluster);
  if (version === undefined) return undefined;
  const file = join(clustersOf(dataDirectory), cluster, 'key');
  return { key: preSharedKey(readFileSync(file, 'utf8'), file), version };
}

export function currentVersion(dataDirectory: string, cluster: string): string | undefined {
  if (!CLUSTER_NAME.test(cluster)) return undefined;
  const found = statSync(join(clustersOf(dataDirectory), cluster, 'key'), { bigint: true, throwIfNoEntry: false });
  return found === undefined ? undefined : `${found.ino}-${found.ctimeNs}`;
}

/** When each cluster asked last, as the server wrote it down: for people, rarely, and without care. */
export async function readLastUse(dataDirectory: string): Promise<Readonly<Record<string, string>>> {
  try {
    const parsed: unknown = JSON.parse(await readFile(join(dataDirectory, 'last-use.json'), 'utf8'));
    const entries = Object.entries(parsed as Readonly<Record<string, unknown>>);
    return Object.fromEntries(entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string'));
  } catch {
    return {};
  }
}

export async function writeLastUse(dataDirectory: string, lastUse: ReadonlyMap<string, Date>): Promise<void> {
  const file = join(dataDirectory, 'last-use.json');
  const entries = [...lastUse].map(([cluster, at]) => [cluster, at.toISOString()]);
  await writeFile(`${file}.new`, `${JSON.stringify(Object.fromEntries(entries), null, 1)}\n`);
  await rename(`${file}.new`, file);
}

function checkName(cluster: string): void {
  if (CLUSTER_NAME.test(cluster)) return;
  const rule = 'letters, digits, ".", "_" and "-", at most 63, beginning with a letter or digit';
  throw new HoldfastError('HF_WITNESS_CLUSTER', `a cluster cannot be named ${JSON.stringify(cluster)}: ${rule}`, { cluster });
}

/** The server may run as somebody else than the administrator who adds a cluster. */
async function giveTo(directory: string, { uid, gid }: { readonly uid: number; readonly gid: number }): Promise<void> {
  if (process.getuid?.() !== 0 || uid === 0) return;
  for (const name of await readdir(directory)) await chown(join(directory, name), uid, gid);
  await chown(directory, uid, gid);
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
