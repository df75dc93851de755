/** Views of modules as text: a row each for the table, or everything in a block. Pure. */
import { configurationText } from './configuration-view.js';
import type { MaintenanceView, ModuleView } from './core.js';
import type { NodeStates } from './commands/state.js';
import { bytesText, differencesText, durationText, type Paint, printable, resyncText, verificationText, verifiedText } from './terminal.js';

const HEAD = ['MODULE', 'NODE', 'STATE', 'DATA', 'FOR', 'PEER', 'WHY'] as const;

interface Row {
  readonly key: string;
  readonly cells: readonly string[];
  /** Below the table: progress of a resync, of a verification. */
  readonly below: readonly string[];
}

export function stateTable(paint: Paint, states: readonly NodeStates[], nowMs = Date.now()): string {
  const rows = states.flatMap((state) => rowsOf(paint, state, nowMs));
  if (rows.length === 0) return 'no module is installed; "holdfast module install FOLDER" installs one';
  rows.sort((one, other) => (one.key < other.key ? -1 : one.key > other.key ? 1 : 0));
  const table = paint.table(
    HEAD,
    rows.map(({ cells }) => cells),
  );
  return [table, ...rows.flatMap(({ below }) => below)].join('\n');
}

function rowsOf(paint: Paint, { node, result, error }: NodeStates, nowMs: number): readonly Row[] {
  if (error !== undefined) {
    // Below all modules.
    return [{ key: '\uffff', cells: ['-', printable(node), paint.as('red', 'ERROR'), '', '', '', printable(error.message)], below: [] }];
  }
  return (result ?? []).map((view) => {
    const { progress, verification } = view.replication ?? {};
    const under = [
      ...(progress === undefined ? [] : [`resync ${resyncText(progress)}`]),
      ...(verification?.progress === undefined ? [] : [`verification ${verificationText(verification.progress)}`]),
    ].map((line) => `${printable(view.module)} on ${printable(view.node)}: ${line}`);
    const warnings = (view.maintenance ?? []).map((off) =>
      paint.as('red', `${printable(view.module)} on ${printable(view.node)}: WARNING: ${maintenanceText(off)}`),
    );
    return {
      key: `${view.module} ${view.node}`,
      cells: rowOf(paint, view, nowMs),
      below: [...warnings, ...under],
    };
  });
}

function rowOf(paint: Paint, view: ModuleView, nowMs: number): readonly string[] {
  return [
    printable(view.module),
    printable(view.node),
    paint.state(view),
    printable(view.detail),
    ageText(view.since, nowMs),
    peerText(paint, view),
    `${view.rule === undefined ? '' : `[${printable(view.rule.label)}] `}${printable(view.reason.text)}`,
  ];
}

function peerText(paint: Paint, { peer, farm }: ModuleView): string {
  if (farm !== undefined) return othersText(paint, farm.nodes);
  if (peer === undefined) return '';
  if (!peer.alive) return paint.as('red', `${printable(peer.node)} silent`);
  return peer.phase === undefined
    ? printable(peer.node)
    : `${printable(peer.node)} ${peer.phase}${peer.quality === undefined ? '' : ` (${peer.quality})`}`;
}

function othersText(paint: Paint, nodes: NonNullable<ModuleView['farm']>['nodes']): string {
  const silent = nodes.filter(({ alive }) => !alive).map(({ node }) => printable(node));
  return silent.length === 0 ? `${nodes.length} alive` : paint.as('red', `${silent.join(', ')} silent`);
}

/** The clock of another node may be ahead of this one's. */
function ageText(since: string, nowMs: number): string {
  const from = Date.parse(since);
  return Number.isNaN(from) ? '' : durationText((nowMs - from) / 1_000);
}

export function stateDetails(paint: Paint, view: ModuleView): string {
  const { replication, peer } = view;
  const lines: (readonly [string, string] | undefined)[] = [
    ['state', paint.state(view)],
    ['why', `${view.reason.text} [${view.reason.code}]`],
    view.rule && ['rule', `${view.rule.label}: ${view.rule.action}`],
    ...(view.maintenance ?? []).map((off): readonly [string, string] => ['WARNING', maintenanceText(off)]),
    ['since', view.since],
    view.mode === undefined ? undefined : ['mode', view.mode],
    view.mode === 'farm' || view.mode === 'light' ? undefined : ['data', view.detail],
    ...(view.farm === undefined ? [] : farmLines(view.farm)),
    peer && [
      'peer',
      `${peer.node}, ${peer.alive ? 'alive' : 'silent'}${peer.phase === undefined ? '' : `, ${peer.phase} (${peer.quality ?? '?'})`}`,
    ],
    replication && ['replication', `${replication.role}, link ${replication.link}, data ${replication.condition}`],
    replication?.image && [
      'image',
      `of ${replication.image.at}, ${replication.image.changes} changes ago; "prim --image" puts it back when the primary is lost`,
    ],
    replication?.progress && ['resync', `${resyncText(replication.progress)}; ${bytesText(replication.progress.bytesSent)} sent`],
    replication?.progress?.reason === undefined ? undefined : ['resync reason', replication.progress.reason],
    replication?.lastResync && ['last resync', lastResyncText(replication.lastResync)],
    replication?.verification?.progress && ['verifying', verificationText(replication.verification.progress)],
    replication?.verification?.last && ['verified', verifiedText(replication.verification.last)],
    ...(replication?.verification?.last === undefined ? [] : differencesText(replication.verification.last)).map(
      (line): readonly [string, string] => ['', line],
    ),
    replication?.verification?.failure && [
      'not verified',
      `at ${replication.verification.failure.at}: ${replication.verification.failure.message} [${replication.verification.failure.code}]`,
    ],
    ...(replication?.conflicts ?? []).map(({ id, endedAt }): readonly [string, string] => [
      'conflict',
      `${id}: changes of this node were given up, ${endedAt === undefined ? 'and are being kept' : 'and are kept until you delete them'}`,
    ]),
    replication?.note === undefined ? undefined : ['note', replication.note],
    replication?.failure && ['failure', `${replication.failure.message} [${replication.failure.code}]`],
    ['addresses', view.addresses.map(({ address, state }) => `${address} ${state}`).join(', ') || 'none'],
    ...(view.mode === 'farm' || view.mode === 'light'
      ? []
      : [['generation', `${view.generation.current.slice(0, 12) || 'none'}, epoch ${view.generation.epoch}`] as const]),
    view.mode === 'light'
      ? undefined
      : ['network cut', view.mode === 'farm' ? view.arbitration.text : `${view.arbitration.grade}: ${view.arbitration.text}`],
    ...view.arbitration.witnesses.map(({ name, reachable, detail }): readonly [string, string] => [
      'witness',
      `${name}, ${reachable ? 'reachable' : 'not reachable'}: ${detail}`,
    ]),
    ['configuration', configurationText(view)],
    ['maxloop', `${view.maxloop.count} of ${view.maxloop.max}`],
  ];
  const known = lines.filter((line) => line !== undefined);
  return [
    paint.as('bold', `${printable(view.module)} (id ${view.id}) on ${printable(view.node)}`),
    // The state is ours and may have colours; the rest comes from outside.
    ...known.map(([name, value]) => `  ${name.padEnd(14)} ${name === 'state' ? value : printable(value)}`),
  ].join('\n');
}

function farmLines({ leader, members, table, groups, nodes }: NonNullable<ModuleView['farm']>): (readonly [string, string])[] {
  const led = leader === undefined ? 'nobody leads' : `led by ${leader}, table ${table ?? 'none'}`;
  return [
    ['farm', `${members.join(', ') || 'nobody shares'}; ${led}`],
    ...groups.flatMap(({ name, accepts, shares }): (readonly [string, string])[] => [
      ['load', `${accepts}/256 (${Math.round((100 * accepts) / 256)} %) of group ${name}`],
      ...shares.map(
        ({ node, power, buckets, ranges }) => ['', `${node}: ${buckets}, power ${power}${ranges === '' ? '' : `: ${ranges}`}`] as const,
      ),
    ]),
    ...nodes.map(({ node, alive, phase, quality }): readonly [string, string] => [
      'node',
      `${node}, ${alive ? 'alive' : 'silent'}${phase === undefined ? '' : `, ${phase} (${quality ?? '?'})`}`,
    ]),
  ];
}

function maintenanceText({ text, since, by }: MaintenanceView): string {
  return `${text} (since ${since}, by ${by})`;
}

function lastResyncText(last: NonNullable<NonNullable<ModuleView['replication']>['lastResync']>): string {
  const why = last.reason === undefined ? '' : ` (${last.reason})`;
  const mode = last.mode === 'journal' ? 'what changed' : `whole tree compared${why}`;
  const sent = `${bytesText(last.bytesSent)} in ${last.objectsSent} objects sent of ${bytesText(last.bytesInTree)}`;
  return `${mode}: ${sent}, in ${durationText(last.durationMs / 1_000)}`;
}
