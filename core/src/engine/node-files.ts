/**
 * Where a node keeps what: the configuration folder holds what operators edit and what must be the same on every node, the state folder
 * what the agent writes. Everything is a plain file.
 */
import { randomBytes } from 'node:crypto';
import { chmod, open, readFile, rename, writeFile } from 'node:fs/promises';
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

  /** A link to the configuration that holds, while there is one. */
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
}
