/** The `rfs` element as the replicator uses it. The core has checked it against the schema; what a schema cannot say is checked here. */
import { createHash } from 'node:crypto';
import { HoldfastError, messageOf, type ElementValue } from '@holdfast/sdk';
import { Rules, type Exclusion } from './boundary/rules.js';
import type { ReplicatorLimits } from './control.js';
import type { SyncMode } from './fuse/protocol.js';

export interface ReplicatedDirectory {
  /** Absolute, without a slash at the end. */
  readonly path: string;
  /** Paths in it that must be there before the node takes a role. */
  readonly required: readonly string[];
  readonly exclusions: readonly Exclusion[];
}

/** @throws HoldfastError HF_REPLICATION_EXPRESSION */
export function readDirectories(configuration: ElementValue): readonly ReplicatedDirectory[] {
  return childrenOf(configuration, 'replicated').map((element) => ({
    path: textOf(element, 'dir').replace(/(?<=.)\/+$/, ''),
    required: childrenOf(element, 'tocheck').map((child) => textOf(child, 'path')),
    exclusions: childrenOf(element, 'notreplicated').map(readExclusion),
  }));
}

function readExclusion(element: ElementValue): Exclusion {
  const expression = element['regexpath'];
  if (typeof expression !== 'string') return { path: textOf(element, 'path') };
  try {
    new Rules([{ expression }]);
  } catch (error) {
    const message = `regexpath="${expression}" is not a POSIX extended regular expression: ${messageOf(error)}`;
    throw new HoldfastError('HF_REPLICATION_EXPRESSION', message, { expression }, { cause: error });
  }
  return { expression };
}

/** Attributes that a running replica takes. */
export const RECONFIGURABLE = ['reiallowedbw', 'verifyallowedbw', 'verifyevery'] as const;

export function readLimits(configuration: ElementValue): ReplicatorLimits {
  return {
    resyncBytesPerSecondMax: bandwidthOf(configuration['reiallowedbw']),
    verifyBytesPerSecondMax: bandwidthOf(configuration['verifyallowedbw']),
    verifyEveryMs: everyMs(configuration['verifyevery']),
  };
}

/** KB/s to bytes per second. */
function bandwidthOf(value: ElementValue[string] | undefined): number | undefined {
  return value === undefined ? undefined : Number(value) * 1024;
}

/** Seconds; 0: never. */
function everyMs(value: ElementValue[string] | undefined): number | undefined {
  return value === undefined || value === 0 ? undefined : Number(value) * 1000;
}

/** Equal on both nodes when both exclude the same. */
export function exclusionsDigest(exclusions: readonly (readonly Exclusion[])[]): string {
  if (exclusions.every((ofOne) => ofOne.length === 0)) return 'none';
  return createHash('sha256').update(JSON.stringify(exclusions)).digest('hex');
}

/** What an operator should know of a configuration when a node fails. */
/** @param canImage whether the file system can share blocks; undefined: not known yet */
export function noteOf(sync: SyncMode, canImage: boolean | undefined): { readonly note?: string } {
  const notes = [
    ...(sync === 'write' ? [] : ['sync="fsync": a failover may lose what was written, but neither synced nor in a closed file']),
    ...(canImage === false ? ['no image is kept during a resync: the file system has no reflinks (XFS and btrfs have)'] : []),
  ];
  return notes.length === 0 ? {} : { note: notes.join('; ') };
}

function childrenOf(element: ElementValue, name: string): readonly ElementValue[] {
  const children = element[name];
  return Array.isArray(children) ? (children as readonly ElementValue[]) : [];
}

function textOf(element: ElementValue, name: string): string {
  const value = element[name];
  return typeof value === 'string' ? value : '';
}
