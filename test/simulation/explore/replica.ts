/** The replication of the explored pair: one connection, a resync in four stages, one write under way at most. */
import type { Action } from '@holdfast/core/decide';
import { Violation } from '../world.js';
import type { Pair } from './pair.js';
import { NAMES, SIDES, type ExploredNode, type ExploredState, type Side } from './state.js';

const otherOf = (side: Side): Side => (side === 0 ? 1 : 0);

export function perform(pair: Pair, state: ExploredState, side: Side, action: Action): string | undefined {
  const node = state.nodes[side];
  switch (action.kind) {
    case 'becomePrimary':
      if (node.partial && action.force !== true) return 'this copy is partial';
      close(pair, state, side);
      if (action.fresh) node.journal = undefined;
      else if (node.facts.role === 'secondary' || node.journal !== undefined) node.journal = action.base;
      if ((state.acknowledged & ~node.writes) !== 0) throw new Violation(`${NAMES[side]} becomes primary without acknowledged writes`);
      pair.show(state, side, { role: 'primary', link: 'none' });
      return undefined;
    case 'becomeSecondary':
      close(pair, state, side);
      node.journal = undefined;
      pair.show(state, side, { role: 'secondary', link: 'none' });
      return undefined;
    case 'connectPeer':
      connect(pair, state, side, action);
      return undefined;
    case 'disconnectPeer':
      close(pair, state, side);
      if (node.facts.role === 'primary' && node.facts.link === 'connected') pair.show(state, side, { link: 'holding' });
      return undefined;
    case 'continueAlone':
      close(pair, state, side);
      node.journal = action.base;
      node.writes |= node.held;
      state.acknowledged |= node.held;
      node.held = 0;
      pair.show(state, side, { link: 'none' });
      return undefined;
    case 'stopReplica':
      close(pair, state, side);
      node.held = 0;
      node.accepting = false;
      if (node.facts.role === 'primary') node.journal ??= node.durable.lineage.current;
      pair.show(state, side, { role: 'stopped', link: 'none' });
      return undefined;
    default:
      return undefined;
  }
}

function connect(pair: Pair, state: ExploredState, side: Side, action: Extract<Action, { kind: 'connectPeer' }>): void {
  const [node, peer] = [state.nodes[side], state.nodes[otherOf(side)]];
  if (node.facts.role !== 'primary' || node.facts.link !== 'none' || state.connection !== undefined) return;
  if (state.cut[0] || state.cut[1] || peer.mirror === undefined || peer.asleep || peer.facts.role !== 'secondary') return;
  if (peer.durable.lineage.epoch > action.term.epoch) return;
  if (action.mode === 'journal' && node.journal !== peer.durable.lineage.current) return;
  if ((state.acknowledged & peer.writes & ~node.writes) !== 0)
    throw new Violation(`${NAMES[side]} overwrites acknowledged writes of ${NAMES[otherOf(side)]}`);
  state.connection = { primary: side, isOpen: true, ends: [true, true], stage: 'resync', image: 0, flight: 0, hasArrived: false };
  peer.partial = true;
  pair.show(state, otherOf(side), { link: 'resynchronising' });
  pair.show(state, side, { link: 'resynchronising' });
}

/** The next stage of the connection. Returns what it was, or undefined when there is none. */
export function goOn(pair: Pair, state: ExploredState): string | undefined {
  const { connection } = state;
  if (connection?.isOpen !== true) return undefined;
  const { primary } = connection;
  const secondary = otherOf(primary);
  const [from, to] = [state.nodes[primary], state.nodes[secondary]];
  if (from.mirror === undefined || from.asleep || to.mirror === undefined || to.asleep) return undefined;
  switch (connection.stage) {
    case 'resync':
      connection.stage = 'image';
      if ((state.acknowledged & ~from.writes) !== 0) throw new Violation(`${NAMES[primary]} copies data without acknowledged writes`);
      connection.image = from.writes;
      pair.show(state, primary, { link: 'connected' });
      return 'last round';
    case 'image':
      connection.stage = 'confirm';
      to.writes = connection.image;
      to.partial = false;
      if (connection.flight !== 0) connection.hasArrived = false;
      pair.show(state, secondary, { link: 'connected' });
      return 'copy complete';
    case 'confirm':
      connection.stage = 'connected';
      from.journal = undefined;
      pair.show(state, primary, {});
      return 'confirmed';
    case 'connected':
      return deliver(state, from, to);
  }
}

function deliver(state: ExploredState, from: ExploredNode, to: ExploredNode): string | undefined {
  const { connection } = state;
  if (connection === undefined || connection.flight === 0) return undefined;
  if (!connection.hasArrived) {
    to.writes |= connection.flight;
    connection.hasArrived = true;
    return 'write arrives';
  }
  from.writes |= connection.flight;
  state.acknowledged |= connection.flight;
  connection.flight = 0;
  connection.hasArrived = false;
  return 'write acknowledged';
}

/** Whether a client could get an acknowledgement now. */
export function canAcknowledge(state: ExploredState, side: Side): boolean {
  const { accepting, mirror, asleep, facts } = state.nodes[side];
  if (!accepting || mirror === undefined || asleep || facts.role !== 'primary' || facts.link === 'holding') return false;
  return facts.link !== 'connected' || state.connection?.ends[side] !== true;
}

/** A client writes. Returns false where nobody takes it. */
export function write(state: ExploredState, side: Side): boolean {
  const node = state.nodes[side];
  const { connection } = state;
  if (!node.accepting || node.mirror === undefined || node.asleep || node.facts.role !== 'primary') return false;
  const bit = 1 << state.made;
  if (node.facts.link === 'holding') {
    node.held |= bit;
  } else if (node.facts.link === 'connected' && connection?.ends[side] === true) {
    if (connection.flight !== 0) return false;
    connection.flight = bit;
    connection.hasArrived = false;
  } else {
    node.writes |= bit;
    state.acknowledged |= bit;
  }
  state.made += 1;
  return true;
}

/** This end sees that the connection is gone. */
export function notice(pair: Pair, state: ExploredState, side: Side): void {
  const { connection } = state;
  if (connection?.ends[side] !== true) return;
  const node = state.nodes[side];
  connection.ends[side] = false;
  connection.isOpen = false;
  const { flight } = connection;
  if (!connection.ends[otherOf(side)]) state.connection = undefined;
  if (node.facts.role === 'primary' && node.facts.link === 'connected') {
    node.held |= flight;
    pair.show(state, side, { link: 'holding' });
  } else if (node.facts.link !== 'holding') {
    pair.show(state, side, { link: 'none' });
  }
}

function close(pair: Pair, state: ExploredState, side: Side): void {
  if (state.connection?.ends[side] === true) notice(pair, state, side);
}

export function cutPower(state: ExploredState, side: Side): void {
  const node = state.nodes[side];
  if (node.facts.link === 'connected' || node.facts.role !== 'primary') node.journal = undefined;
  node.mirror = undefined;
  node.asleep = false;
  node.accepting = false;
  node.held = 0;
  node.pending = [];
  node.facts = { role: 'stopped', link: 'none', inconsistent: node.partial };
  state.claims = state.claims.filter((claim) => claim.side !== side || (claim.answer === undefined && (claim.isLate = true)));
  const { connection } = state;
  if (connection?.ends[side] === true) {
    connection.ends[side] = false;
    connection.isOpen = false;
    if (!connection.ends[otherOf(side)]) state.connection = undefined;
  }
}

export function check(state: ExploredState): void {
  if (SIDES.every((side) => canAcknowledge(state, side))) throw new Violation('two primaries');
}
