/** The agent's side of replication: one replica for each module, see process-replica.ts. */
import type { ElementValue, Replica, ReplicationBackend, ReplicationOptions } from '@holdfast/sdk';
import { readDirectories, readLimits, RECONFIGURABLE } from './configuration.js';
import { ProcessReplica, type ReplacementLimits } from './process-replica.js';

const LOCK_TIMEOUT_DEFAULT_SECONDS = 10;
const REPLACEMENT_LIMITS: ReplacementLimits = { deathsMax: 3, withinMs: 60_000 };

export class FilesBackend implements ReplicationBackend {
  readonly reconfigurable = RECONFIGURABLE;
  readonly #limits: ReplacementLimits;

  constructor(limits = REPLACEMENT_LIMITS) {
    this.#limits = limits;
  }

  directories(configuration: ElementValue): readonly string[] {
    return readDirectories(configuration).map(({ path }) => path);
  }

  async open(options: ReplicationOptions): Promise<Replica> {
    const { module, localNode, peerNode, local, peer, stateDirectory, configuration } = options;
    const replica = new ProcessReplica(options.log, this.#limits, {
      module,
      localNode,
      peerNode,
      local,
      peer,
      stateDirectory,
      key: Buffer.from(options.key).toString('base64'),
      directories: readDirectories(configuration),
      async: configuration['async'] === 'none' ? 'none' : 'second',
      sync: configuration['sync'] === 'fsync' ? 'fsync' : 'write',
      ...readLimits(configuration),
      agentSilenceMaxMs: options.coreSilenceMaxMs,
      lockTimeoutSeconds: Number(configuration['locktimeout'] ?? LOCK_TIMEOUT_DEFAULT_SECONDS),
    });
    try {
      await replica.open();
    } catch (error) {
      await replica.close();
      throw error;
    }
    return replica;
  }
}
