/** What the API shows of a module: the automaton's state in words that an operator acts on. */
import type { HoldfastError } from '@holdfast/sdk';
import type { ModuleView, ReplicationView } from '../api/contract.js';
import { isAlive } from '../decide/detector.js';
import type { MirrorState } from '../decide/mirror/types.js';
import { renderReason } from '../model/reason.js';
import type { ModuleRuntime } from './module-runtime.js';
import type { ModuleEntry } from './node-files.js';

const NO_GENERATION = { current: '', epoch: 0, history: [] };
const NO_WITNESS = {
  grade: 'none',
  text: 'no witness: if the nodes lose each other now, both run, and the changes of one side will have to be given up',
} as const;

/** A module that is installed but not running decisions: not configured, or refused. */
export function idleView(entry: ModuleEntry, node: string, refused: HoldfastError | undefined): ModuleView {
  return {
    module: entry.name,
    id: entry.id,
    node,
    phase: 'NOT CONFIGURED',
    quality: 'NotReady',
    detail: refused === undefined ? 'not configured' : 'refused',
    reason:
      refused === undefined
        ? { code: 'notConfigured', text: 'run "holdfast module config"' }
        : { code: refused.code, text: refused.message },
    since: new Date(0).toISOString(),
    addresses: [],
    generation: NO_GENERATION,
    arbitration: NO_WITNESS,
    configuration: { applied: '' },
    maxloop: { count: 0, max: 0 },
  };
}

export function viewOf(runtime: ModuleRuntime, edited: string | undefined): ModuleView {
  const { snapshot: state, parts } = runtime;
  const { configuration } = parts;
  const alive = isAlive(state.detector, parts.clock.monotonicMs());
  const replication = replicationView(runtime);
  return {
    module: configuration.name,
    id: configuration.id,
    node: state.settings.node,
    phase: state.phase,
    quality: state.quality,
    detail: detailOf(state),
    reason: { code: state.reason.code, text: renderReason(state.reason) },
    since: runtime.phaseSince,
    peer: {
      node: state.settings.peer,
      alive,
      ...(state.peer === undefined ? {} : { phase: state.peer.phase, quality: state.peer.quality }),
    },
    ...(replication === undefined ? {} : { replication }),
    addresses: parts.resources
      .list()
      .filter(({ name }) => name.startsWith('ip.'))
      .map(({ name, detail }) => ({ address: name.slice(3), state: state.addresses === 'acquired' ? detail : 'released' })),
    generation: state.durable.lineage,
    arbitration: NO_WITNESS,
    configuration: { applied: configuration.digest, ...(edited === undefined || edited === configuration.digest ? {} : { edited }) },
    maxloop: { count: state.durable.loop.count, max: state.settings.maxLoop },
  };
}

function detailOf(state: MirrorState): string {
  if (!state.settings.replicated) return '';
  const words: string[] = [state.durable.condition === 'uptodate' ? 'uptodate' : 'not uptodate'];
  if (state.replication.inconsistent) words.push('partly synchronised');
  if (state.phase === 'ALONE') words.push('no redundancy');
  if (state.replication.link === 'holding') words.push('writes are held');
  return words.join(', ');
}

function replicationView(runtime: ModuleRuntime): ReplicationView | undefined {
  const { replica } = runtime.parts;
  if (replica === undefined) return undefined;
  const { role, link, progress, lastResync, verification, failure } = replica.status();
  return {
    role,
    link,
    condition: runtime.snapshot.replication.inconsistent ? 'inconsistent' : runtime.snapshot.durable.condition,
    ...(progress === undefined ? {} : { progress }),
    ...(lastResync === undefined ? {} : { lastResync }),
    ...(verification === undefined ? {} : { verification }),
    ...(failure === undefined ? {} : { failure }),
  };
}
