/**
 * How soon an address is back, beside keepalived and pacemaker: on one network, seen by one client, in turns and in the same run; then the
 * outage of an application that writes, which only Holdfast has to offer.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { messageOf } from '@holdfast/sdk';
import { Lab, type LabMachine, type RunningCommand } from '../lab/index.js';
import { type Contender, holderOf, HoldfastPair } from './contenders.js';
import { benchLedger } from './failover-ledger.js';
import { phaseMs } from './gaps.js';
import { KeepalivedPair } from './keepalived.js';
import { PacemakerPair } from './pacemaker.js';
import { packageOf, type Program, provide } from './packages.js';
import { Requests } from './requests.js';
import { type BenchResult, comparison, markdownOf, markdownTable, median, type Row, single, spread } from './rows.js';

export const PEERS = ['keepalived', 'pacemaker'] as const;

export interface FailoverOptions {
  readonly rounds: number;
  /** Of PEERS, and `ledger`. */
  readonly without: readonly string[];
}

const FAST = 'Holdfast, timeout 500 ms';
const DEFAULT = 'Holdfast, default timeout';
const SLOW_KEEPALIVED = 'keepalived at 1 s';
const FAST_MS_MAX = 600;
const DEFAULT_MS_MAX = 3000;
const SWAP_MS_MAX = 300;
const MOVE_MS_MAX = 5;
const PROGRAMS: Readonly<Record<(typeof PEERS)[number], readonly Program[]>> = {
  keepalived: ['keepalived'],
  pacemaker: ['corosync', 'pacemakerd', 'crm_mon', 'IPaddr2'],
};

const ADDRESS_MOVE = fileURLToPath(new URL('./address-move.js', import.meta.url));
const DRIVER = fileURLToPath(new URL('../../../plugins/vip-arp/dist/src/index.js', import.meta.url));
const MOVED = ['10.50.1.240', 'fd50:1::240'] as const;

/** What was measured of one contender. */
interface Series {
  readonly name: string;
  readonly cuts: number[];
  readonly swaps: number[];
}

/** @throws Error for a name that is not known */
export async function benchFailover({ rounds, without }: FailoverOptions, progress: (text: string) => void): Promise<BenchResult> {
  const known: readonly string[] = [...PEERS, 'ledger'];
  const unknown = without.find((name) => !known.includes(name));
  if (unknown !== undefined) throw new Error(`cannot leave out "${unknown}"; ${known.join(', ')} can be left out`);
  const notes: string[] = [];
  const peers = await available(without, notes, progress);
  const { series, moves } = await race(rounds, peers, notes, progress);
  const ledger = without.includes('ledger') ? [] : await benchLedger(rounds, progress);
  const rows = [...addressRows(series, moves), ...ledger];
  return { rows, notes, markdown: [tableOfSeries(series), markdownOf(rows)].join('\n\n') };
}

/** Installs what is missing. @returns those that can take part; of the others `notes` says why not */
async function available(without: readonly string[], notes: string[], progress: (text: string) => void): Promise<Set<string>> {
  const peers = new Set<string>();
  for (const peer of PEERS) {
    const missing = without.includes(peer) ? [] : await provide(PROGRAMS[peer], progress);
    if (without.includes(peer)) notes.push(`${peer} was left out, as asked.`);
    else if (missing.length > 0) notes.push(`${peer} was left out: ${missing.map(packageOf).join(', ')} cannot be installed here.`);
    else peers.add(peer);
  }
  return peers;
}

/** Everything in one lab: the pairs stay up together, one of them is measured at a time. */
async function race(
  rounds: number,
  peers: ReadonlySet<string>,
  notes: string[],
  progress: (text: string) => void,
): Promise<{ readonly series: readonly Series[]; readonly moves: readonly number[] }> {
  const pairs = [
    ['h1', 'h2'],
    ['f1', 'f2'],
    ...(peers.has('keepalived')
      ? [
          ['k1', 'k2'],
          ['q1', 'q2'],
        ]
      : []),
  ];
  if (peers.has('pacemaker')) pairs.push(['p1', 'p2']);
  const lab = await Lab.create({ nodes: pairs.flat() });
  try {
    const contenders = await started(contendersOf(lab, peers), notes, progress);
    const series = contenders.map(({ name }): Series => ({ name, cuts: [], swaps: [] }));
    for (let round = 1; round <= rounds; round += 1) {
      for (let turn = 0; turn < contenders.length; turn += 1) {
        // Each begins once: what comes after another must not always be the same.
        const index = (turn + round) % contenders.length;
        const [contender, measured] = [contenders[index], series[index]];
        if (contender === undefined || measured === undefined) continue;
        await oneRound(lab, contender, measured, phaseMs(round, rounds));
        const seen = [measured.cuts, measured.swaps].map((values) => `${(values.at(-1) ?? 0).toFixed(0)} ms`);
        progress(`${contender.name}, round ${round} of ${rounds}: power cut ${seen[0]}, hand-over ${seen[1]}`);
      }
    }
    return { series, moves: await addressMoves(lab, [lab.node('h1'), lab.node('h2')], rounds) };
  } finally {
    await lab.close();
  }
}

function contendersOf(lab: Lab, peers: ReadonlySet<string>): readonly Contender[] {
  const contenders: Contender[] = [
    new HoldfastPair(lab, ['h1', 'h2'], '10.50.1.200', { name: DEFAULT }),
    new HoldfastPair(lab, ['f1', 'f2'], '10.50.1.201', { name: FAST, heart: 'pulse="100ms" timeout="500ms"' }),
  ];
  if (peers.has('keepalived')) {
    contenders.push(new KeepalivedPair(lab, ['k1', 'k2'], '10.50.1.202', { advertSeconds: 1, router: 51 }));
    contenders.push(new KeepalivedPair(lab, ['q1', 'q2'], '10.50.1.203', { advertSeconds: 0.1, router: 52 }));
  }
  if (peers.has('pacemaker')) contenders.push(new PacemakerPair(lab, ['p1', 'p2'], '10.50.1.204'));
  return contenders;
}

/** A peer that does not start here is left out; Holdfast has to. */
async function started(contenders: readonly Contender[], notes: string[], progress: (text: string) => void): Promise<Contender[]> {
  const running: Contender[] = [];
  for (const contender of contenders) {
    progress(`starting ${contender.name}`);
    try {
      await contender.start();
      running.push(contender);
    } catch (error) {
      if (contender instanceof HoldfastPair) throw error;
      notes.push(`${contender.name} was left out, it does not start here: ${messageOf(error)}`);
    }
  }
  return running;
}

async function oneRound(lab: Lab, contender: Contender, { cuts, swaps }: Series, atMs: number): Promise<void> {
  const machines = contender.nodes.map((name) => lab.node(name));
  const first = await holderOf(machines, contender.address);
  const second = contender.nodes.find((node) => node !== first) ?? '';
  const requests = new Requests(lab.client, contender.address);
  try {
    cuts.push(
      await requests.outage(first, second, async () => {
        await delay(atMs);
        await contender.cutPower(first);
      }),
    );
    await contender.recover(first);
    swaps.push(
      await requests.outage(second, first, async () => {
        await delay(atMs);
        await contender.handOver(second, first);
      }),
    );
    await contender.recover(second);
  } finally {
    await requests.stop();
  }
}

/** The driver alone: from the removal on one node to the announcement by the other, without any decision. */
async function addressMoves(lab: Lab, machines: readonly [LabMachine, LabMachine], rounds: number): Promise<number[]> {
  const drivers = machines.map((machine) => machine.spawn([process.execPath, ADDRESS_MOVE, DRIVER, ...MOVED]));
  const requests = new Requests(lab.client, MOVED[0]);
  try {
    const [left, right] = drivers;
    if (left === undefined || right === undefined) throw new Error('no nodes');
    for (const driver of drivers) await driver.waitForLine(/^ready$/, 20_000);
    await told(left, 'acquire');
    const moves: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const [from, to] = round % 2 === 0 ? [left, right] : [right, left];
      await requests.answeredBy(machines[round % 2]?.name ?? '');
      moves.push((await told(from, 'release')) + (await told(to, 'acquire')));
      await requests.answeredBy(machines[(round + 1) % 2]?.name ?? '');
    }
    return moves;
  } finally {
    await requests.stop();
    for (const driver of drivers) driver.kill();
  }
}

/** Commands the driver. @returns how long that took it, ms */
function told(driver: RunningCommand, word: 'acquire' | 'release'): Promise<number> {
  return new Promise((resolve, reject) => {
    const stopListening = driver.onLine(({ stream, text }) => {
      if (stream !== 'stdout') return;
      stopListening();
      const [said, ms] = text.split(' ');
      if (said === word) resolve(Number(ms));
      else reject(new Error(text));
    });
    void driver.finished.then(() => reject(new Error(`the driver ended: ${driver.lastOutput()}`)));
    driver.write(`${word}\n`);
  });
}

function addressRows(series: readonly Series[], moves: readonly number[]): Row[] {
  const of = (name: string): Series => series.find((one) => one.name === name) ?? { name, cuts: [], swaps: [] };
  const [fast, byDefault] = [of(FAST), of(DEFAULT)];
  const others = series.filter((one) => one !== fast && one !== byDefault);
  const cutTarget = ({ name }: Series): { readonly atMost: number } | undefined => {
    if (name === SLOW_KEEPALIVED) return { atMost: 0.2 };
    return name.startsWith('pacemaker') ? { atMost: 0.5 } : undefined;
  };
  return [
    single(`power cut: ${FAST}`, 'ms', fast.cuts, { atMost: FAST_MS_MAX }),
    ...others.map((other) => comparison(`power cut: ${FAST}`, 'ms', fast.cuts, { name: other.name, values: other.cuts }, cutTarget(other))),
    single(`power cut: ${DEFAULT}`, 'ms', byDefault.cuts, { atMost: DEFAULT_MS_MAX }),
    ...others.map((other) => comparison(`power cut: ${DEFAULT}`, 'ms', byDefault.cuts, { name: other.name, values: other.cuts })),
    single(`swap: ${FAST}`, 'ms', fast.swaps, { atMost: SWAP_MS_MAX }),
    single(`swap: ${DEFAULT}`, 'ms', byDefault.swaps, { atMost: SWAP_MS_MAX }),
    ...others.map((other) => comparison(`swap: ${DEFAULT}`, 'ms', byDefault.swaps, { name: other.name, values: other.swaps })),
    single('the move of the addresses itself, IPv4 and IPv6', 'ms', moves, { atMost: MOVE_MS_MAX }),
  ];
}

function tableOfSeries(series: readonly Series[]): string {
  const cell = (values: readonly number[]): string => spread(median(values), Math.min(...values), Math.max(...values));
  const lines = series.map(({ name, cuts, swaps }) => [name, cell(cuts), cell(swaps)]);
  return markdownTable(['address only, outage in ms', 'power cut', 'planned hand-over'], lines);
}
