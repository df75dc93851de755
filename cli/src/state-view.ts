/** Views of modules as text: a row each for the table, or everything in a block. Pure. */
import type { ModuleView } from './core.js';
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
    return {
      key: `${view.module} ${view.node}`,
      cells: rowOf(paint, view, nowMs),
      below: under,
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
    printable(view.reason.text),
  ];
}

function peerText(paint: Paint, { peer }: ModuleView): string {
  if (peer === undefined) return '';
  if (!peer.alive) return paint.as('red', `${printable(peer.node)} silent`);
  return peer.phase === undefined
    ? printable(peer.node)
    : `${printable(peer.node)} ${peer.phase}${peer.quality === undefined ? '' : ` (${peer.quality})`}`;
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
    ['since', view.since],
    ['data', view.detail],
    peer && [
      'peer',
      `${peer.node}, ${peer.alive ? 'alive' : 'silent'}${peer.phase === undefined ? '' : `, ${peer.phase} (${peer.quality ?? '?'})`}`,
    ],
    replication && ['replication', `${replication.role}, link ${replication.link}, data ${replication.condition}`],
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
    replication?.failure && ['failure', `${replication.failure.message} [${replication.failure.code}]`],
    ['addresses', view.addresses.map(({ address, state }) => `${address} ${state}`).join(', ') || 'none'],
    ['generation', `${view.generation.current.slice(0, 12) || 'none'}, epoch ${view.generation.epoch}`],
    ['network cut', `${view.arbitration.grade}: ${view.arbitration.text}`],
    [
      'configuration',
      `${view.configuration.applied.slice(0, 12) || 'none'}${view.configuration.edited === undefined ? '' : ', edited since'}`,
    ],
    ['maxloop', `${view.maxloop.count} of ${view.maxloop.max}`],
  ];
  const known = lines.filter((line) => line !== undefined);
  return [
    paint.as('bold', `${printable(view.module)} (id ${view.id}) on ${printable(view.node)}`),
    // The state is ours and may have colours; the rest comes from outside.
    ...known.map(([name, value]) => `  ${name.padEnd(14)} ${name === 'state' ? value : printable(value)}`),
  ].join('\n');
}

function lastResyncText(last: NonNullable<NonNullable<ModuleView['replication']>['lastResync']>): string {
  const why = last.reason === undefined ? '' : ` (${last.reason})`;
  const mode = last.mode === 'journal' ? 'what changed' : `whole tree compared${why}`;
  const sent = `${bytesText(last.bytesSent)} in ${last.objectsSent} objects sent of ${bytesText(last.bytesInTree)}`;
  return `${mode}: ${sent}, in ${durationText(last.durationMs / 1_000)}`;
}
