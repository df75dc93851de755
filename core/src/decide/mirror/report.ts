/**
 * What this node says about the module in its heartbeats: only what is durable, so that the peer never hears of a state that a crash
 * undoes.
 */
import type { NodeReport } from '../../model/report.js';
import type { MirrorState } from './types.js';

export function reportOf(state: MirrorState): NodeReport {
  const { durable, settings, replication } = state;
  return {
    node: settings.node,
    module: settings.module,
    phase: state.phase,
    quality: state.quality,
    lineage: durable.lineage,
    condition: replication.inconsistent ? 'inconsistent' : durable.condition,
    lastRole: durable.lastRole,
    forkedAs: durable.forkedAs,
    link: replication.link,
    ...(replication.journalSince === undefined ? {} : { journalSince: replication.journalSince }),
    configuration: settings.configuration,
    handingOver: state.handingOver,
    claiming: state.intent === 'prim' && state.phase === 'WAIT',
    seenGeneration: state.peer?.lineage.current ?? '',
  };
}
