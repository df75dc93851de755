/** Configurations for people: what was applied and what it changed, what was edited, and what differs. */
import type { ConfigurationChange, ConfigurationDifference, ConfigurationView, ConfigureResult, ModuleView } from './core.js';
import { type Paint, printable } from './terminal.js';

export function configuredText(paint: Paint, { module, digest, warnings, outcome, changes, live, peer }: ConfigureResult): string {
  const stopped = changes.filter((change) => !change.live);
  const verdict = {
    valid: `${module}: the configuration is valid`,
    planned: `${module} would be configured, digest ${digest}${live ? ', while it runs' : ''}`,
    unchanged: `${module} has this configuration already, digest ${digest}`,
    applied: `${module} is configured, digest ${digest}${live ? ', while it runs' : ''}`,
  }[outcome];
  const isOff = peer !== undefined && ['unreachable', 'undecided', 'failed', 'not installed'].includes(peer.outcome);
  return [
    ...warnings.map((warning) => `warning: ${printable(warning)}`),
    printable(verdict),
    ...changes.map((change) => `  ${changeText(change, outcome === 'planned')}`),
    ...(outcome === 'planned' && stopped.length > 0 ? [paint.as('orange', 'not all of it can be taken by a running module')] : []),
    ...(peer === undefined ? [] : [isOff ? paint.as('orange', printable(peer.text)) : printable(peer.text)]),
    ...(peer !== undefined && outcome === 'planned' ? peer.changes.map((change) => `  ${peer.node}: ${changeText(change, true)}`) : []),
  ].join('\n');
}

function changeText({ text, live }: ConfigurationChange, isPlan: boolean): string {
  return isPlan ? `${live ? 'live' : 'stop'}  ${printable(text)}` : printable(text);
}

export function infoText(paint: Paint, view: ConfigurationView): string {
  const { applied, edited, state, stale, undecided, kept, peer } = view;
  const row = (name: string, digest = '', signature = '', at = '', more = ''): string[] => [
    name,
    printable(digest.slice(0, 12)),
    printable(signature.slice(0, 12)),
    printable(at),
    printable(more),
  ];
  const table = paint.table(
    ['CONFIGURATION', 'DIGEST', 'SIGNATURE', 'DATE', ''],
    [
      row('edited', edited.digest, edited.signature, edited.at, edited.problem === undefined ? '' : 'cannot be applied'),
      ...(applied === undefined ? [] : [row('applied', applied.digest, applied.signature, applied.at, `number ${applied.number}`)]),
      ...kept.map(({ number, digest, signature, at, origin }) => row(`kept ${number}`, digest, signature, at, origin)),
    ],
  );
  return [
    `${view.module}: ${state === 'applied' ? paint.as('green', state) : paint.as('orange', state)}`,
    table,
    ...(edited.problem === undefined ? [] : [printable(edited.problem)]),
    ...(stale ? ['the running module has an earlier configuration; it takes the applied one when it is started again'] : []),
    ...(undecided === undefined
      ? []
      : [`${undecided.digest.slice(0, 12)} is stored since ${printable(undecided.since)}, for ${undecided.coordinator} to decide`]),
    ...(peer === undefined ? [] : [peerText(view.module, peer)]),
  ].join('\n');
}

function peerText(module: string, { node, digest, same }: NonNullable<ConfigurationView['peer']>): string {
  if (same) return `${node} has the same`;
  return `${node} has another one (${printable(digest.slice(0, 12))}): "holdfast module config -m ${module}" applies this node's to both`;
}

/** For the state of a module. */
export function configurationText({ configuration }: ModuleView): string {
  const { applied, edited, peer, stale } = configuration;
  return [
    applied.slice(0, 12) || 'none',
    ...(edited === undefined ? [] : ['edited since, not applied']),
    ...(stale === true ? ['another one is taken at the next start'] : []),
    ...(peer === undefined ? [] : [`the other node has ${peer.slice(0, 12)}`]),
  ].join(', ');
}

export function differenceText({ from, to, same, text, files }: ConfigurationDifference): string {
  if (same) return `no difference between ${printable(from)} and ${printable(to)}`;
  const lines = text === '' ? [] : text.split('\n').map((line) => printable(line.replaceAll('\t', '  ')));
  return [...lines, ...files.map(({ path, change }) => `${change}: ${printable(path)}`)].join('\n');
}
