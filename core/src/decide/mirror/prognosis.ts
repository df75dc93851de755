/** What would happen if the nodes lost each other now, in one sentence for operators. */
import { isAlive } from '../detector.js';
import { failsOver, isHolder } from './agreement.js';
import { peerIsReadySecondary } from './primary.js';
import type { MirrorState } from './types.js';

const IF = 'if the nodes lose each other now';

export function prognosisOf(state: MirrorState): string {
  const { settings, phase, durable, peer } = state;
  const isHeard = peer !== undefined && isAlive(state.detector, state.nowMs);
  const { node } = settings;
  if (phase === 'STOP') return `${node} is stopped: it will not take over`;
  if (phase === 'WAIT') return `${node} waits: it does not run the application`;
  if (phase === 'UP') return `${node} runs by itself`;
  const isPrimary = phase === 'ALONE' || phase === 'PRIM';
  const [primary, secondary] = isPrimary ? [node, settings.peer] : [settings.peer, node];
  const isPair = isPrimary ? peerIsReadySecondary(state) : durable.condition !== 'outdated' && durable.condition !== 'inconsistent';
  if (isPrimary && !isPair) return `${node} runs alone: ${settings.peer} does not take over`;
  if (!isPair) return `${IF}: ${primary} keeps running, ${secondary} waits, because its copy is not up to date`;
  if (!failsOver(state)) return `${IF}: ${primary} keeps running, ${secondary} waits, because failover is off`;
  switch (settings.witness) {
    case 'none':
      return `no witness: ${IF}, both run, and the changes of one side will have to be given up`;
    case 'weak':
      return `${IF}: each runs if it reaches the addresses of the witness; if both do, both run`;
    case 'strong':
      return `${IF}: ${byAgreement(state, primary, secondary)}${isHeard ? '' : ' (they do not hear each other)'}`;
  }
}

function byAgreement(state: MirrorState, primary: string, secondary: string): string {
  const { agreement } = state.durable;
  if (agreement.mode === 'witness')
    return `${primary} keeps running if it reaches the witness; if it is lost or cut off, ${secondary} takes over; never both`;
  if (isHolder(state) || agreement.holder === primary)
    return `${primary} keeps running, ${secondary} waits, because the witness is not available to both`;
  return `whoever the witness lets go on keeps running; the nodes are still agreeing`;
}
