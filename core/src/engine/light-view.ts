/** What the API shows of a light or farm module: the automaton's state, and of a farm who shares what. */
import type { FarmView, ModuleView } from '../api/contract.js';
import { isAlive } from '../decide/farm/contact.js';
import type { FarmState } from '../decide/farm/types.js';
import { BUCKETS, countOf, ownersOf } from '../model/farm.js';
import { renderReason } from '../model/reason.js';
import type { LightRuntime } from './light-runtime.js';
import { NO_GENERATION, NO_WITNESS } from './module-view.js';

const CUT = 'every part of a cut network serves all traffic, and they share again when they meet';

export function lightViewOf(runtime: LightRuntime, edited: string | undefined, stale = false): ModuleView {
  const { snapshot: state, parts } = runtime;
  const { configuration } = parts;
  const farm = parts.farm === undefined ? undefined : farmViewOf(parts.farm.snapshot);
  return {
    module: configuration.name,
    id: configuration.id,
    node: state.settings.node,
    mode: state.settings.mode,
    phase: state.phase,
    quality: state.quality,
    detail: farm === undefined ? '' : detailOf(farm),
    reason: { code: state.reason.code, text: renderReason(state.reason) },
    since: runtime.phaseSince,
    ...(farm === undefined ? {} : { farm }),
    addresses: [],
    generation: NO_GENERATION,
    arbitration: farm === undefined ? NO_WITNESS : { ...NO_WITNESS, text: CUT },
    configuration: {
      applied: configuration.digest,
      ...(edited === undefined || edited === configuration.digest ? {} : { edited }),
      ...(stale ? { stale } : {}),
    },
    ...(parts.maintenance.off.length === 0 ? {} : { maintenance: parts.maintenance.off }),
    maxloop: { count: state.durable.loop.count, max: state.settings.maxLoop },
  };
}

function detailOf({ groups, members }: FarmView): string {
  const loads = groups.map(({ name, accepts }) => `load ${accepts}/${BUCKETS}${groups.length === 1 ? '' : ` of ${name}`}`);
  return [...loads, `${members.length} ${members.length === 1 ? 'node' : 'nodes'}`].join(', ');
}

function farmViewOf(state: FarmState): FarmView {
  const { settings, table, leader } = state;
  const isApart = leader === undefined && Object.values(state.accepts).every((map) => countOf(map) === 0);
  const members = isApart ? [] : (table?.members.map(({ node }) => node) ?? []);
  return {
    ...(leader === undefined ? {} : { leader }),
    members,
    ...(table === undefined ? {} : { table: table.number }),
    groups: settings.groups.map(({ name, powers }) => ({
      name,
      accepts: countOf(state.accepts[name]),
      shares: members.map((node) => {
        const buckets = table === undefined ? [] : bucketsOf(ownersOf(table, name), node);
        return { node, power: powers[node] ?? 1, buckets: buckets.length, ranges: rangesOf(buckets) };
      }),
    })),
    nodes: Object.entries(state.peers).map(([node, { report }]) => ({
      node,
      alive: isAlive(state, node),
      ...(report === undefined ? {} : { phase: report.phase, quality: report.quality }),
    })),
  };
}

function bucketsOf(owners: readonly (string | undefined)[], node: string): number[] {
  return owners.flatMap((owner, bucket) => (owner === node ? [bucket] : []));
}

/** `0-84,170` */
function rangesOf(buckets: readonly number[]): string {
  const ranges: [number, number][] = [];
  for (const bucket of buckets) {
    const last = ranges.at(-1);
    if (last?.[1] === bucket - 1) last[1] = bucket;
    else ranges.push([bucket, bucket]);
  }
  return ranges.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(',');
}
