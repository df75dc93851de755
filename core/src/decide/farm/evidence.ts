/** What this node knew of the farm when something was decided, as sentences. */
import { countOf } from '../../model/farm.js';
import { silentMs } from '../detector.js';
import { isAlive, isInTouch } from './contact.js';
import type { FarmState } from './types.js';

export function farmEvidence(state: FarmState): readonly string[] {
  return [table(state), load(state), ...Object.keys(state.peers).map((node) => heard(state, node))];
}

function table({ settings, table: held, leader }: FarmState): string {
  const led = leader === undefined ? 'nobody led' : `${leader === settings.node ? 'it' : leader} led`;
  if (held === undefined) return `${settings.node} had no table, ${led}`;
  return `${settings.node} held table ${held.number} with ${held.members.map(({ node }) => node).join(', ')}, ${led}`;
}

function load({ settings, accepts }: FarmState): string {
  const loads = settings.groups.map(({ name }) => `${countOf(accepts[name])} of group ${name}`);
  return `${settings.node} answered for ${loads.join(', ')}`;
}

function heard(state: FarmState, node: string): string {
  const peer = state.peers[node];
  if (peer?.report === undefined || Object.keys(peer.detector.heardMs).length === 0) return `${node} had not been heard`;
  const { phase, quality, offers } = peer.report;
  const said = `had said last: ${phase} (${quality})${offers ? '' : ', wants no traffic'}`;
  if (peer.detector.goodbye) return `${node} had said goodbye`;
  const ago = `was last heard ${Math.round(silentMs(peer.detector, state.nowMs))} ms ago`;
  const touch = isAlive(state, node) && !isInTouch(state, node) ? ', and did not hear this node' : '';
  return `${node} ${ago}${touch}, and ${said}`;
}
