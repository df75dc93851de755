/** What a decision rested on, as sentences: kept with every transition, so that the question "why" has an answer long afterwards. */
import type { Lineage } from '../../model/generation.js';
import { labelOf } from '../rules/built-in.js';
import { writeExpression } from '../rules/expression.js';
import { heldSince, holding } from '../rules/progress.js';
import type { MirrorState } from './types.js';

const DIGITS_SHOWN = 12;

export function evidenceOf(state: MirrorState): readonly string[] {
  return [ownCopy(state), heard(state), said(state), ...replication(state), ...witness(state), ...resources(state), ...rules(state)].filter(
    (sentence) => sentence !== '',
  );
}

function generation({ current, epoch }: Lineage): string {
  return current === '' ? 'no generation' : `generation ${current.slice(0, DIGITS_SHOWN)} (epoch ${epoch})`;
}

function ownCopy({ settings, durable }: MirrorState): string {
  const { lineage, condition, lastRole, before, yielded } = durable;
  const notes = [
    ...(before === undefined ? [] : ['prepared, not allowed yet']),
    ...(yielded ? ['it had left its role for the other'] : []),
    ...(durable.peerOutdated ? [`${settings.peer} known to be outdated`] : []),
  ];
  const words = settings.replicated ? `${generation(lineage)}, data ${condition}, last role ${lastRole}` : `last role ${lastRole}`;
  return `${settings.node} had ${[words, ...notes].join(', ')}`;
}

function heard({ settings, detector, nowMs }: MirrorState): string {
  if (detector.goodbye) return `${settings.peer} had said goodbye`;
  const links = Object.entries(detector.heardMs).map(([link, at]) => `${Math.round(nowMs - at)} ms ago on ${link}`);
  return links.length === 0 ? `${settings.peer} had not been heard` : `${settings.peer} was last heard ${links.join(', ')}`;
}

function said({ peer, settings }: MirrorState): string {
  if (peer === undefined) return '';
  const data = settings.replicated ? `, ${generation(peer.lineage)}, data ${peer.condition}, link ${peer.link}` : '';
  return `${peer.node} had said last: ${peer.phase} (${peer.quality})${data}${peer.yielded ? ', role given up' : ''}`;
}

function replication({ settings, replication: { role, link, inconsistent, failure } }: MirrorState): string[] {
  if (!settings.replicated) return [];
  const partial = inconsistent ? ', copy partial' : '';
  return [`the replication was ${role}, link ${link}${partial}${failure === undefined ? '' : ` (${failure})`}`];
}

function witness({ settings, durable, witness: { reachable, record }, claim }: MirrorState): string[] {
  if (settings.witness === 'none') return [];
  const { mode, holder, settled } = (durable.before ?? durable).agreement;
  const agreed = mode === 'witness' ? 'the witness decides' : holder === '' ? 'nothing' : `only ${holder} goes on`;
  const known = record === undefined ? '' : `, with ${record.generation.slice(0, DIGITS_SHOWN)} of ${record.owner}`;
  return [
    `the witness was ${reachable ? 'reachable' : 'not reachable'}${known}`,
    ...(settings.witness === 'strong' ? [`agreed for a loss: ${agreed}${settled ? '' : ' (not settled)'}`] : []),
    ...(claim?.answer === undefined
      ? []
      : [`the witness, asked for ${claim.generation.slice(0, DIGITS_SHOWN)}, had answered: ${claim.answer}`]),
  ];
}

function resources({ resources: all }: MirrorState): string[] {
  const down = Object.entries(all).filter(([, { value }]) => value === 'down');
  return down.map(([name, { detail, action }]) => `resource ${name} was down (${detail}); its action is ${action} (rule ${labelOf(name)})`);
}

function rules({ settings, ruleProgress, blockedBy, nowMs }: MirrorState): string[] {
  const held = settings.rules === undefined ? [] : holding(settings.rules, ruleProgress);
  const sentences = held.map(({ label, when, action }) => {
    const seconds = ((nowMs - (heldSince(ruleProgress, label) ?? nowMs)) / 1000).toFixed(1);
    return `failover rule ${label} held for ${seconds} s (${writeExpression(when)}); its action is ${action}`;
  });
  const isNamed = held.some(({ label }) => label === blockedBy);
  return blockedBy === undefined || isNamed ? sentences : [...sentences, `failover rule ${blockedBy} kept the module waiting`];
}
