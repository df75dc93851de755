/**
 * A witness of our own runs as a program on a third machine, not inside an agent. The plug-in that has one exports it as `witnessServer`
 * beside `plugin`; `holdfast witness …` finds it there. What the program keeps is in one folder; every method but `serve` works
 * on that folder alone, with or without a server that runs.
 */
import type { Log } from './plugin.js';
import type { WitnessRecord } from './witness.js';

export interface WitnessServerOptions {
  /** Absolute path; made when it does not exist. */
  readonly dataDirectory: string;
  readonly listen: { readonly host: string; readonly port: number };
  /** Where the server's health is told to anybody, unencrypted; absent: nowhere. */
  readonly health?: { readonly host: string; readonly port: number };
  readonly log: Log;
}

export interface RunningWitnessServer {
  /** The ports that listen, also when 0 was asked for. */
  readonly port: number;
  readonly healthPort?: number;
  close(): Promise<void>;
}

export interface AddedCluster {
  readonly cluster: string;
  /** The secret of the cluster's nodes, as text for their key file. It is not shown again. */
  readonly key: string;
  /** The element of userconfig.xml for a witness at this address. */
  element(server: string): string;
}

export interface WitnessedCluster {
  readonly cluster: string;
  readonly addedAt: string;
  /** Last time that a node of the cluster asked; absent: not since the server can remember. */
  readonly lastUseAt?: string;
  readonly modules: readonly { readonly module: string; readonly record: WitnessRecord; readonly changedAt: string }[];
}

export interface WitnessServerProgram {
  /**
   * Serves until `close`.
   * @throws HoldfastError HF_WITNESS_STATE when records are damaged (each file is named), HF_WITNESS_BUSY when another server runs
   */
  serve(options: WitnessServerOptions): Promise<RunningWitnessServer>;
  /** @throws HoldfastError HF_WITNESS_CLUSTER when the name is not allowed or exists */
  add(dataDirectory: string, cluster: string): Promise<AddedCluster>;
  /** Forgets the cluster, its key and its records. @throws HoldfastError HF_WITNESS_CLUSTER when it is not known */
  remove(dataDirectory: string, cluster: string): Promise<void>;
  list(dataDirectory: string): Promise<readonly WitnessedCluster[]>;
}
