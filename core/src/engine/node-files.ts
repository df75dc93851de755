/**
 * Where a node keeps what: the configuration folder holds what operators edit and what must be the same on every node, the state folder
 * what the agent writes. Everything is a plain file.
 */
import { createHash, randomBytes } from 'node:crypto';
import { chmod, cp, mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HoldfastError } from '@holdfast/sdk';
import { parseCluster } from '../config/index.js';
import type { ClusterConfiguration } from '../model/configuration.js';
import { syncDirectory } from './durable-file.js';

export interface NodeIdentity {
  readonly node: string;
  readonly cluster: ClusterConfiguration;
  readonly clusterKey: Buffer;
}

export interface ModuleEntry {
  readonly name: string;
  readonly id: number;
}

const KEY_BYTES = 32;

export class NodeFiles {
  constructor(
    readonly configDirectory: string,
    readonly stateDirectory: string,
  ) {}

  moduleSource(name: string): string {
    return join(this.configDirectory, 'modules', name);
  }

  moduleState(name: string): string {
    return join(this.stateDirectory, 'modules', name);
  }

  applied(name: string): string {
    return join(this.moduleState(name), 'applied');
  }

  /** @throws HoldfastError HF_CLUSTER_NOT_CONFIGURED, HF_CLUSTER_KEY, or what is wrong in cluster.xml. */
  async identity(): Promise<NodeIdentity> {
    const file = join(this.configDirectory, 'cluster.xml');
    const [xml, identity, key] = await Promise.all([
      readFile(file, 'utf8').catch(() => undefined),
      readFile(join(this.configDirectory, 'node.json'), 'utf8').catch(() => undefined),
      readFile(join(this.configDirectory, 'cluster.key'), 'utf8').catch(() => undefined),
    ]);
    if (xml === undefined || identity === undefined) {
      const message = `no cluster in ${this.configDirectory}: run "holdfast cluster config cluster.xml" on this node first`;
      throw new HoldfastError('HF_CLUSTER_NOT_CONFIGURED', message, { directory: this.configDirectory });
    }
    const clusterKey = Buffer.from(key?.trim() ?? '', 'hex');
    if (clusterKey.length !== KEY_BYTES) {
      const keyFile = `${this.configDirectory}/cluster.key`;
      const message = `${keyFile} must hold ${KEY_BYTES * 2} hexadecimal digits, the same on every node: copy it from the first node`;
      throw new HoldfastError('HF_CLUSTER_KEY', message, { bytes: clusterKey.length });
    }
    const cluster = parseCluster(xml, file);
    const { node } = JSON.parse(identity) as { node: string };
    if (!cluster.lans.every((lan) => lan.nodes.some(({ name }) => name === node))) {
      const names = [...new Set(cluster.lans.flatMap((lan) => lan.nodes.map(({ name }) => name)))].join(', ');
      throw new HoldfastError('HF_CLUSTER_NODE', `node.json says "${node}", cluster.xml knows ${names}`, { node });
    }
    return { node, cluster, clusterKey };
  }

  /** The secret of the local API: made at the first start, readable by root alone. */
  async token(): Promise<string> {
    const path = join(this.configDirectory, 'api.token');
    const found = (await readFile(path, 'utf8').catch(() => '')).trim();
    if (found.length >= KEY_BYTES) return found;
    const token = randomBytes(KEY_BYTES).toString('hex');
    await writeFile(path, `${token}\n`, { mode: 0o600 });
    await chmod(path, 0o600);
    return token;
  }

  async modules(): Promise<readonly ModuleEntry[]> {
    const text = await readFile(join(this.configDirectory, 'modules.json'), 'utf8').catch(() => '[]');
    return JSON.parse(text) as ModuleEntry[];
  }

  async writeModules(entries: readonly ModuleEntry[]): Promise<void> {
    const path = join(this.configDirectory, 'modules.json');
    const handle = await open(`${path}.new`, 'w', 0o644);
    try {
      await handle.writeFile(`${JSON.stringify(entries, null, 2)}\n`);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(`${path}.new`, path);
    await syncDirectory(this.configDirectory);
  }

  /** Copies a module folder beside its place and exchanges it, so that a crash leaves the old or the new one. */
  async copyInto(source: string, target: string): Promise<void> {
    await mkdir(join(target, '..'), { recursive: true });
    await rm(`${target}.new`, { recursive: true, force: true });
    await cp(source, `${target}.new`, { recursive: true, dereference: false, preserveTimestamps: true });
    await rm(`${target}.old`, { recursive: true, force: true });
    if (await exists(target)) await rename(target, `${target}.old`);
    await rename(`${target}.new`, target);
    await rm(`${target}.old`, { recursive: true, force: true });
    await syncDirectory(join(target, '..'));
  }

  /** Digest of the scripts: part of what both nodes must have alike. */
  async scriptsDigest(folder: string): Promise<string> {
    const bin = join(folder, 'bin');
    const names = (await readdir(bin, { recursive: true }).catch(() => [])).sort();
    const hash = createHash('sha256');
    for (const name of names) {
      const path = join(bin, name);
      const found = await stat(path);
      if (found.isFile()) hash.update(`${name}\0${(found.mode & 0o111).toString(8)}\0`).update(await readFile(path));
    }
    return hash.digest('hex');
  }
}

export async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
