/**
 * What this node says about the module in its heartbeats: only what is durable, so that the peer never hears of a state that a crash
 * undoes.
 */
import type { Agreement } from '../../model/arbitration.js';
import type { NodeReport } from '../../model/report.js';
import { countsOf } from '../rules/expression.js';
import { decidingOf } from './deciding.js';
import type { MirrorState } from './types.js';

type Writable<T> = { -readonly [K in keyof T]: T[K] };

export function reportOf(state: MirrorState): NodeReport {
  const { durable, settings, replication, witness } = state;
  // A prepared generation is news for a follower that is to acknowledge it; for one that decides in WAIT it does not exist.
  const standing = state.phase === 'ALONE' ? durable : (durable.before ?? durable);
  const report: Writable<NodeReport> = {
    node: settings.node,
    module: settings.module,
    phase: state.phase,
    quality: state.quality,
    lineage: standing.lineage,
    condition: replication.inconsistent ? 'inconsistent' : standing.condition,
    lastRole: standing.lastRole,
    forkedAs: standing.forkedAs,
    link: replication.link,
    configuration: settings.configuration,
    handingOver: state.handingOver,
    claiming: state.intent === 'prim' && state.phase === 'WAIT',
    agreement: toldOf(standing.agreement),
    witness: settings.witness === 'none' ? 'none' : witness.reachable ? 'up' : 'down',
    yielded: standing.yielded,
    formerPrimary: durable.formerPrimary,
    deciding: decidingOf(settings),
    seenGeneration: state.peer?.lineage.current ?? '',
  };
  // One by one: what is spread into a literal is copied through the engine's slow path, and a report is made at every pulse.
  if (replication.journalSince !== undefined) report.journalSince = replication.journalSince;
  if (settings.splitBrain !== undefined && settings.splitBrain !== 'manual') report.splitBrain = settings.splitBrain;
  if (state.phase === 'WAIT' && state.blockedBy !== undefined) report.blocked = true;
  if (settings.rules !== undefined && settings.rules.remote.length > 0) report.tallies = countsOf(settings.rules.remote, state.ruleFacts);
  return report;
}

function toldOf({ number, mode, holder, settled, epoch }: Agreement): Agreement {
  return { number, mode, holder, settled, epoch };
}
