/**
 * The farm automaton of one node: who leads, which table holds, and which buckets this node answers for. One event in, the next state out;
 * what follows from it for the outside is said in the report that every heartbeat carries.
 *
 * The leader is the first by name of the nodes in touch that offer themselves and know who is there. It alone makes tables, each with a
 * greater number than all that it has seen, from the one that holds, so that little moves. The others adopt what their leader has, and
 * never an older table.
 *
 * *Hand-over.* A node accepts a bucket that its table gives it only when every other node in touch, or in the table, has said that it
 * holds this table or a newer one and does not answer for the bucket; or is gone, silent for the whole timeout. It gives a bucket up at
 * once when its table says so. Tables are totally ordered and nobody goes back, so of two nodes that hear each other one has always
 * confirmed the table of the other: no bucket has two owners, whatever is lost, late or decided twice. Nodes that do not hear each other
 * are two farms: each serves everything, and they become one again when they meet.
 *
 * A node that starts, or slept long enough to be given up, has nothing and listens: until every other node is in touch or gone it neither
 * leads nor accepts.
 */
import { BUCKETS, compareTables, FARM_NODES_MAX, ownersOf, type BucketMap, type FarmReport, type FarmTable } from '../../model/farm.js';
import type { NodeId } from '../../model/state.js';
import { createDetector, detectorHeard, detectorTick } from '../detector.js';
import { shareBuckets } from './buckets.js';
import { inTouch, isAlive, isGone, isInTouch } from './contact.js';
import type { FarmEvent, FarmPeer, FarmSettings, FarmState } from './types.js';

/** A node is given up when nothing was heard for the timeout; this much of it may pass on the way. */
const SLEEP_MARGIN_PULSES = 2;
const NOTHING = '0'.repeat(BUCKETS);

export function createFarm(settings: FarmSettings, nowMs: number, incarnation: string): FarmState {
  if (settings.nodes.length > FARM_NODES_MAX) throw new Error(`a farm of ${settings.nodes.length} nodes`);
  const others = settings.nodes.filter((node) => node !== settings.node);
  return {
    settings,
    incarnation,
    revision: 0,
    listening: true,
    listeningSinceMs: nowMs,
    phase: 'STOP',
    quality: 'NotReady',
    offers: false,
    closedSinceMs: nowMs,
    peers: Object.fromEntries(others.map((node) => [node, { detector: createDetector(settings.memberTimeoutMs, nowMs) }])),
    accepts: nothing(settings),
    nowMs,
  };
}

function nothing({ groups }: FarmSettings): BucketMap {
  return Object.fromEntries(groups.map(({ name }) => [name, NOTHING]));
}

export function stepFarm(before: FarmState, event: FarmEvent): FarmState {
  const awake = wake(before, event);
  const informed = absorb(awake, event);
  const oriented = orient(informed);
  const settled = oriented.leader === oriented.settings.node ? lead(oriented, event.fresh) : follow(oriented);
  const after = answer(settled);
  return isSaidAlike(before, after) ? after : { ...after, revision: before.revision + 1 };
}

/** After a sleep others may answer for what was this node's, and what it hears first may be old. */
function wake(state: FarmState, { nowMs, fresh }: FarmEvent): FarmState {
  const { settings } = state;
  const sleptMs = nowMs - state.nowMs;
  if (sleptMs > settings.memberTimeoutMs - SLEEP_MARGIN_PULSES * settings.pulseMs) {
    const { phase, quality, offers, closedSinceMs, revision } = state;
    return { ...createFarm(settings, nowMs, fresh), phase, quality, offers, closedSinceMs, revision };
  }
  const peers = Object.entries(state.peers).map(([node, peer]) => [node, { ...peer, detector: detectorTick(peer.detector, nowMs) }]);
  return { ...state, nowMs, peers: Object.fromEntries(peers) as FarmState['peers'] };
}

function absorb(state: FarmState, event: FarmEvent): FarmState {
  switch (event.kind) {
    case 'tick':
      return state;
    case 'module':
      return noteModule(state, event);
    case 'heartbeat': {
      const peer = state.peers[event.from];
      if (peer === undefined) return state;
      const detector = detectorHeard(peer.detector, event.link, event.receivedMs, event.agentTickAgeMs, event.goodbye);
      return { ...state, peers: { ...state.peers, [event.from]: { detector, ...newest(peer, event.report) } } };
    }
  }
}

function noteModule(state: FarmState, { phase, quality, offers, fresh }: FarmEvent & { readonly kind: 'module' }): FarmState {
  const noted = { ...state, phase, quality, offers, closedSinceMs: state.offers && !offers ? state.nowMs : state.closedSinceMs };
  // While it was closed its buckets may have been given away by a table that is still on its way here.
  return offers && !state.offers && isMember(state)
    ? { ...noted, incarnation: fresh, listening: true, listeningSinceMs: state.nowMs }
    : noted;
}

/** The table was made for this node as it is now. */
function isMember({ settings, incarnation, table }: FarmState): boolean {
  return table?.members.some((member) => member.node === settings.node && member.incarnation === incarnation) === true;
}

/** Frames of different links overtake each other. */
function newest({ report: known }: FarmPeer, report: FarmReport | undefined): { report?: FarmReport } {
  const isOlder = report !== undefined && known?.incarnation === report.incarnation && report.revision < known.revision;
  const kept = report === undefined || isOlder ? known : report;
  return kept === undefined ? {} : { report: kept };
}

function orient(state: FarmState): FarmState {
  const { listeningSinceMs, nowMs, settings } = state;
  const knowsAll = Object.keys(state.peers).every((node) => isGone(state, node) || isInTouch(state, node));
  const listening = state.listening && nowMs - listeningSinceMs < settings.leaderTimeoutMs && !knowsAll;
  const informed = { ...state, listening };
  const leader = leaderOf(informed);
  const { leader: _former, ...rest } = informed;
  return leader === undefined ? rest : { ...rest, leader };
}

function leaderOf(state: FarmState): NodeId | undefined {
  const { node } = state.settings;
  const others = inTouch(state);
  const candidates = others.filter(({ offers, listening }) => offers && !listening).map((report) => report.node);
  if (state.offers && !state.listening) candidates.push(node);
  const [first] = candidates.sort();
  if (first !== node) return first;
  // Somebody in touch follows another, first by name and not heard here: dead, which it will find out, or cut off from this node alone.
  const follows = ({ leader }: FarmReport): boolean => leader !== '' && leader < node && !isAlive(state, leader);
  return others.some(follows) ? undefined : node;
}

function lead(state: FarmState, fresh: string): FarmState {
  const { settings, incarnation, table } = state;
  const others = inTouch(state);
  const members = [{ node: settings.node, incarnation }, ...others.filter(({ offers }) => offers)]
    .map((member) => ({ node: member.node, incarnation: member.incarnation }))
    .sort((one, other) => (one.node < other.node ? -1 : 1));
  const newer = others.some((report) => compareTables(report.table, table) > 0);
  if (table !== undefined && !newer && isSameMembers(table.members, members)) return state;
  const names = members.map(({ node }) => node);
  const base = baseOf([table, ...others.map((report) => report.table)], names);
  const owners = settings.groups.map(({ name, powers }) => {
    const held = base === undefined ? [] : ownersOf(base, name);
    const shared = shareBuckets(held, names, (node) => powers[node] ?? 1);
    return [name, shared.map((owner) => (owner === undefined ? '-' : String(names.indexOf(owner)))).join('')] as const;
  });
  const number = Math.max(0, table?.number ?? 0, ...others.map((report) => report.table?.number ?? 0)) + 1;
  return { ...state, table: { number, id: fresh, members, owners: Object.fromEntries(owners) } };
}

function isSameMembers(one: FarmTable['members'], other: FarmTable['members']): boolean {
  return (
    one.length === other.length &&
    one.every(({ node, incarnation }, index) => other[index]?.node === node && other[index].incarnation === incarnation)
  );
}

/** What most of the members hold to already; of equal ones the newest. */
function baseOf(tables: readonly (FarmTable | undefined)[], names: readonly NodeId[]): FarmTable | undefined {
  const weight = (table: FarmTable): number => table.members.filter(({ node }) => names.includes(node)).length;
  return tables.filter((table) => table !== undefined).sort((one, other) => weight(other) - weight(one) || compareTables(other, one))[0];
}

/** Without a leader of its own a node still notes what was decided, so that nobody waits for its word. */
function follow(state: FarmState): FarmState {
  const reports = inTouch(state).filter(({ node }) => state.leader === undefined || node === state.leader);
  const [newest] = reports.map(({ table }) => table).sort((one, other) => compareTables(other, one));
  return newest !== undefined && compareTables(newest, state.table) > 0 ? { ...state, table: newest } : state;
}

/** Gives up at once, takes when the others have given up. */
function answer(state: FarmState): FarmState {
  const { settings, table } = state;
  if (hasLeft(state)) return state;
  if (!state.offers && mayLeave(state)) return { ...state, accepts: nothing(settings) };
  const held = isMember(state) ? table : undefined;
  const takes = state.offers && !state.listening && state.leader !== undefined;
  // Not all nodes hear each other, and this one hears nobody who leads: what another answers for that follows somebody is not this node's.
  const others = isLed(state) ? [] : inTouch(state).filter(({ leader }) => leader !== '' && leader !== settings.node);
  const obstacles = held !== undefined && takes ? obstaclesTo(state, held) : undefined;
  const accepts = settings.groups.map(({ name }) => {
    const owners = held === undefined ? [] : ownersOf(held, name);
    const present = state.accepts[name] ?? NOTHING;
    const next = [...present].map((digit, bucket) => {
      if (owners[bucket] !== settings.node || others.some(({ accepts }) => accepts[name]?.[bucket] === '1')) return '0';
      return digit === '1' || (obstacles !== undefined && !obstacles.some((hinders) => hinders(name, bucket))) ? '1' : '0';
    });
    return [name, next.join('')] as const;
  });
  return accepts.every(([name, map]) => map === state.accepts[name]) ? state : { ...state, accepts: Object.fromEntries(accepts) };
}

/** Whoever it takes for the leader leads. */
function isLed({ settings, leader, peers }: FarmState): boolean {
  return leader !== undefined && (leader === settings.node || peers[leader]?.report?.leader === leader);
}

/** Nobody takes over, or the one who should does not get to it. */
function mayLeave({ leader, nowMs, closedSinceMs, settings }: FarmState): boolean {
  return leader === undefined || nowMs - closedSinceMs >= settings.leaderTimeoutMs + settings.memberTimeoutMs;
}

type Obstacle = (group: string, bucket: number) => boolean;

/** One for every node that may still answer for something. */
function obstaclesTo(state: FarmState, table: FarmTable): readonly Obstacle[] {
  return Object.entries(state.peers).flatMap(([node, { report }]): readonly Obstacle[] => {
    if (isGone(state, node)) return [];
    const isNamed = table.members.some((member) => member.node === node);
    if (report === undefined) return isNamed ? [() => true] : [];
    if (!isNamed && !isInTouch(state, node)) return [];
    // Also one that the table leaves out, or that wanted nothing yet: it may be about to take something by an older table.
    if (compareTables(report.table, table) < 0) return [() => true];
    return [(group, bucket) => report.accepts[group]?.[bucket] === '1'];
  });
}

export function farmReportOf(state: FarmState): FarmReport {
  const { settings, phase, quality, incarnation, revision, offers, listening, table, accepts } = state;
  const heard = Object.entries(state.peers).filter(([node]) => isAlive(state, node));
  return {
    node: settings.node,
    module: settings.module,
    phase,
    quality,
    configuration: settings.configuration,
    incarnation,
    revision,
    offers,
    listening,
    heard: Object.fromEntries(heard.map(([node, { report }]) => [node, report?.incarnation ?? ''])),
    leader: state.leader ?? '',
    ...(table === undefined ? {} : { table }),
    accepts,
  };
}

function isSaidAlike(one: FarmState, other: FarmState): boolean {
  if (one.table !== other.table || one.accepts !== other.accepts) return false;
  return JSON.stringify(briefOf(one)) === JSON.stringify(briefOf(other));
}

function briefOf(state: FarmState): object {
  const { table: _table, accepts: _accepts, revision: _revision, ...brief } = farmReportOf(state);
  return brief;
}

/** This node answers for nothing, and no table that it holds to gives it anything. */
export function hasLeft({ offers, accepts }: FarmState): boolean {
  return !offers && Object.values(accepts).every((map) => map === NOTHING);
}
