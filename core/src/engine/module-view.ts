/** What the API shows of a module: the automaton's state in words that an operator acts on. */
import type { HoldfastError } from '@holdfast/sdk';
import type { ModuleView, ReplicationView, VirtualAddressView } from '../api/contract.js';
import { isAlive } from '../decide/detector.js';
import { automatonRule } from '../decide/rules/built-in.js';
import { activeRule } from '../decide/mirror/resources.js';
import { prognosisOf } from '../decide/mirror/prognosis.js';
import type { MirrorState } from '../decide/mirror/types.js';
import type { ClusterConfiguration, ModuleConfiguration } from '../model/configuration.js';
import { renderReason } from '../model/reason.js';
import type { ModuleRuntime } from './module-runtime.js';
import type { ModuleEntry } from './node-files.js';

export const NO_GENERATION = { current: '', epoch: 0, history: [] };
export const NO_WITNESS = { grade: 'none', text: 'not configured', witnesses: [] } as const;

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

export function viewOf(runtime: ModuleRuntime, edited: string | undefined, stale: boolean): ModuleView {
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
    ...(runtime.applicationSince === undefined ? {} : { applicationSince: runtime.applicationSince }),
    peer: {
      node: state.settings.peer,
      alive,
      ...(state.peer === undefined ? {} : { phase: state.peer.phase, quality: state.peer.quality }),
    },
    mode: 'mirror',
    ...(replication === undefined ? {} : { replication }),
    addresses: parts.resources
      .ofClass('ip')
      .map(({ name, detail }) => ({ address: name.slice(3), state: state.addresses === 'acquired' ? detail : 'released' })),
    generation: state.durable.lineage,
    arbitration: {
      grade: state.settings.witness,
      text: prognosisOf(state),
      witnesses: parts.witnesses.states.map(({ name, reachable, detail }) => ({ name, reachable, detail })),
    },
    configuration: {
      applied: configuration.digest,
      ...(edited === undefined || edited === configuration.digest ? {} : { edited }),
      ...(alive && state.peer !== undefined && state.peer.configuration !== configuration.digest ? { peer: state.peer.configuration } : {}),
      ...(stale ? { stale: true } : {}),
    },
    maxloop: { count: state.durable.loop.count, max: state.settings.maxLoop },
    ...ruleView(state),
    maintenance: parts.maintenance.off,
  };
}

/** The automaton's own rules have names too: what they stand for is the reason of the state. */
function ruleView(state: MirrorState): Pick<ModuleView, 'rule'> {
  const rule = activeRule(state);
  if (rule !== undefined) return { rule };
  const label = state.phase === 'WAIT' ? automatonRule(state.reason.code) : undefined;
  return label === undefined ? {} : { rule: { label, action: 'wait' } };
}

function detailOf(state: MirrorState): string {
  if (!state.settings.replicated) return '';
  const words: string[] = [state.durable.condition === 'uptodate' ? 'uptodate' : 'not uptodate'];
  if (state.replication.inconsistent) words.push('partly synchronised');
  if (state.replication.image !== undefined && state.phase === 'WAIT') words.push(`an image of ${state.replication.image} can be promoted`);
  if (state.phase === 'ALONE') words.push('no redundancy');
  if (state.replication.link === 'holding') words.push('writes are held');
  return words.join(', ');
}

function replicationView(runtime: ModuleRuntime): ReplicationView | undefined {
  const { replica } = runtime.parts;
  if (replica === undefined) return undefined;
  const { role, link, image, progress, lastResync, verification, conflicts, note, failure } = replica.status();
  return {
    role,
    link,
    condition: runtime.snapshot.replication.inconsistent ? 'inconsistent' : runtime.snapshot.durable.condition,
    ...(image === undefined ? {} : { image }),
    ...(progress === undefined ? {} : { progress }),
    ...(lastResync === undefined ? {} : { lastResync }),
    ...(verification === undefined ? {} : { verification }),
    ...(conflicts === undefined ? {} : { conflicts }),
    ...(note === undefined ? {} : { note }),
    ...(failure === undefined ? {} : { failure }),
  };
}

export function virtualAddressView({ name, contributed }: ModuleConfiguration, { lans }: ClusterConfiguration): VirtualAddressView {
  const names = lans[0]?.nodes.map((node) => node.name) ?? [];
  const addressesOf = (wanted: string): string[] =>
    lans.flatMap(({ nodes }) => nodes.filter((node) => node.name === wanted).map(({ address }) => address));
  return {
    module: name,
    nodes: names.map((node) => ({ name: node, addresses: [...new Set(addressesOf(node))] })),
    elements: contributed.filter(({ point }) => point === 'virtualIpDriver').map(({ type, element, value }) => ({ type, element, value })),
  };
}
