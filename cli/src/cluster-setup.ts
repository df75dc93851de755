/**
 * Makes this machine a node: validates cluster.xml, then installs the key, the node's name and, last, cluster.xml, each whole or not at
 * all. A machine that has cluster.xml therefore has the rest too.
 */
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readFile, stat } from 'node:fs/promises';
import { isIPv6 } from 'node:net';
import { networkInterfaces } from 'node:os';
import { join, resolve } from 'node:path';
import { HoldfastError, messageOf } from '@holdfast/sdk';
import { writeFileAtomic } from './atomic-file.js';
import { type ClusterConfiguration, loadCore } from './core.js';

const CLUSTER_FILE_BYTES_MAX = 1024 * 1024;
const KEY_BYTES = 32;
const PROBE_TIMEOUT_MS = 1_000;

export interface ClusterSetup {
  readonly node: string;
  readonly digest: string;
  /** Files that were written or made stricter. */
  readonly changed: readonly string[];
  /** An agent runs here and does not know the changes. */
  readonly restartNeeded: boolean;
  readonly otherNodes: readonly { readonly name: string; readonly address: string }[];
}

export async function configureCluster(
  file: string,
  configDirectory: string,
  node: string | undefined,
  api: string,
): Promise<ClusterSetup> {
  const source = await readSource(file);
  const { parseCluster } = await loadCore();
  const cluster = parseCluster(source, file);
  const names = namesOf(cluster);
  const local = node === undefined ? await localNode(cluster, configDirectory) : knownNode(node, names, file);
  await mkdir(configDirectory, { recursive: true, mode: 0o700 });
  const changed = [
    ...(await ensureKey(configDirectory)),
    ...(await install(join(configDirectory, 'node.json'), `${JSON.stringify({ node: local })}\n`)),
    ...(await install(join(configDirectory, 'cluster.xml'), source)),
  ];
  const command = cluster.lans.find((lan) => lan.command) ?? cluster.lans[0];
  return {
    node: local,
    digest: cluster.digest,
    changed,
    restartNeeded: changed.length > 0 && (await isAgentRunning(api)),
    otherNodes: (command?.nodes ?? []).filter(({ name }) => name !== local).map(({ name, address }) => ({ name, address })),
  };
}

/** What to do now, with the exact commands. */
export function nextSteps(setup: ClusterSetup, configDirectory: string): string {
  const folder = resolve(configDirectory);
  const option = folder === '/etc/holdfast' ? '' : ` --config-dir ${quoted(folder)}`;
  const xml = quoted(join(folder, 'cluster.xml'));
  const lines = [
    setup.changed.length === 0
      ? `this machine is ${setup.node} already, nothing changed; digest ${setup.digest.slice(0, 12)}`
      : `this machine is ${setup.node}; written: ${setup.changed.join(', ')}; digest ${setup.digest.slice(0, 12)}`,
    setup.restartNeeded
      ? 'an agent runs here with the configuration from before: restart it, "systemctl restart holdfast"'
      : 'start the agent when it does not run: "systemctl start holdfast", or in the foreground "holdfast agent"',
  ];
  for (const { name, address } of setup.otherNodes) {
    const host = `root@${isIPv6(address) ? `[${address}]` : address}`;
    lines.push(
      '',
      `then ${name} (${address}), with the same file and the same key:`,
      `  ssh ${host} install -d -m 0700 ${quoted(folder)}`,
      `  scp -p ${quoted(join(folder, 'cluster.key'))} ${xml} ${host}:${quoted(`${folder}/`)}`,
      `  ssh ${host} holdfast${option} cluster config ${xml} --node ${name}`,
    );
  }
  return lines.join('\n');
}

/** @throws HF_CLUSTER_KEY_EXISTS unless the key may be replaced. */
export async function generateKey(configDirectory: string, replace: boolean): Promise<string> {
  const file = join(configDirectory, 'cluster.key');
  if (!replace && (await existing(file)) !== undefined) {
    throw new HoldfastError('HF_CLUSTER_KEY_EXISTS', `${file} exists, and the other nodes may use it; --replace makes a new one`, { file });
  }
  await mkdir(configDirectory, { recursive: true, mode: 0o700 });
  await writeFileAtomic(file, `${randomBytes(KEY_BYTES).toString('hex')}\n`, 0o600);
  return file;
}

async function readSource(file: string): Promise<string> {
  try {
    const { size } = await stat(file);
    if (size > CLUSTER_FILE_BYTES_MAX) throw new Error(`it has ${size} bytes, more than ${CLUSTER_FILE_BYTES_MAX}`);
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new HoldfastError('HF_CLUSTER_FILE_UNREADABLE', `${file} cannot be read: ${messageOf(error)}`, { file }, { cause: error });
  }
}

function namesOf(cluster: ClusterConfiguration): readonly string[] {
  return [...new Set(cluster.lans.flatMap((lan) => lan.nodes.map(({ name }) => name)))];
}

function knownNode(node: string, names: readonly string[], file: string): string {
  if (names.includes(node)) return node;
  throw new HoldfastError('HF_CLUSTER_NODE_UNKNOWN', `${file} has no node "${node}"; it has ${names.join(', ')}`, { node, names });
}

/** The name that this machine has already, else the one node with an address of this machine. */
async function localNode(cluster: ClusterConfiguration, configDirectory: string): Promise<string> {
  const names = namesOf(cluster);
  const present = await presentName(configDirectory);
  if (present !== undefined && names.includes(present)) return present;
  const own = new Set(
    Object.values(networkInterfaces()).flatMap((addresses) => (addresses ?? []).map(({ address }) => address.toLowerCase())),
  );
  const isOwn = (address: string): boolean => own.has(address.toLowerCase()) || address.startsWith('127.');
  const candidates = names.filter((name) =>
    cluster.lans.some((lan) =>
      lan.nodes.some(
        (node) => node.name === name && (isOwn(node.address) || (node.localAddress !== undefined && isOwn(node.localAddress))),
      ),
    ),
  );
  const [only] = candidates;
  if (only !== undefined && candidates.length === 1) return only;
  const problem =
    candidates.length === 0
      ? `no address of this machine is in the file; say which node it is with --node and one of ${names.join(', ')}`
      : `${candidates.join(' and ')} all have addresses of this machine; say which one it is with --node`;
  throw new HoldfastError('HF_CLUSTER_NODE_AMBIGUOUS', problem, { candidates: candidates.length === 0 ? names : candidates });
}

async function presentName(configDirectory: string): Promise<string | undefined> {
  const content = await existing(join(configDirectory, 'node.json'));
  if (content === undefined) return undefined;
  try {
    const { node } = JSON.parse(content) as { node?: unknown };
    return typeof node === 'string' ? node : undefined;
  } catch {
    // Damaged: found again from the addresses and written anew.
    return undefined;
  }
}

/** Makes the key when there is none; takes away the rights of others on one that is there. */
async function ensureKey(configDirectory: string): Promise<readonly string[]> {
  const file = join(configDirectory, 'cluster.key');
  const content = await existing(file);
  if (content === undefined) return [await generateKey(configDirectory, false)];
  if (!/^[0-9a-fA-F]{64}$/.test(content.trim())) {
    throw new HoldfastError(
      'HF_CLUSTER_KEY_INVALID',
      `${file} is not a key of ${KEY_BYTES} bytes in hexadecimal; copy it again from the other node`,
      { file },
    );
  }
  const { mode } = await stat(file);
  if ((mode & 0o077) === 0) return [];
  await chmod(file, 0o600);
  return [file];
}

async function install(file: string, content: string): Promise<readonly string[]> {
  if ((await existing(file)) === content) return [];
  await writeFileAtomic(file, content, 0o644);
  return [file];
}

async function existing(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

async function isAgentRunning(api: string): Promise<boolean> {
  try {
    const answer = await fetch(`${api}/api/v1/health`, { signal: AbortSignal.timeout(PROBE_TIMEOUT_MS) });
    await answer.body?.cancel();
    return answer.ok;
  } catch {
    return false;
  }
}

function quoted(word: string): string {
  return /^[A-Za-z0-9_./:@-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
