/**
 * Operators' commands: which are possible now, and what they begin. `refusalOf` answers at once, before a command is queued, so that the
 * operator gets the sentence; what has changed by the time the command's turn comes is checked again here.
 */
import { compareLineages, LINEAGE_EMPTY } from '../../model/generation.js';
import { reason } from '../../model/reason.js';
import { isAlive } from '../detector.js';
import { contradicts } from './agreement.js';
import { changed } from './copy.js';
import type { Draft } from './draft.js';
import { beginAutomatic, counted, resetLoop } from './loop-counter.js';
import { peerIsReadySecondary } from './primary.js';
import { beginQuietRecord, beginRestart, beginStart, beginStop, beginSwap, beginWait } from './sequences.js';
import { givingUp } from './split-brain.js';
import type { Command, MirrorState } from './types.js';

/** Why a command cannot be carried out now; undefined when it can. */
export function refusalOf(state: MirrorState, command: Command): string | undefined {
  const { peer } = state.settings;
  const idle = state.phase === 'STOP' || state.phase === 'WAIT';
  const peerLeads = peerIsPrimary(state);
  switch (command.verb) {
    case 'start':
      return state.phase === 'STOP' || state.sequence?.name === 'stop' ? undefined : `the module is already started (${state.phase})`;
    case 'stop':
    case 'incloop':
    case 'resetloop':
      return undefined;
    case 'restart':
    case 'stopstart':
      return idle ? `the module is ${state.phase}: only ALONE, PRIM and SECOND can ${command.verb}` : undefined;
    case 'swap':
      if (state.phase === 'PRIM' && peerIsReadySecondary(state)) return undefined;
      if (state.phase === 'SECOND') return `this node is SECOND: run swap on ${peer}, which is primary`;
      return `swap needs PRIM here and a ready SECOND on ${peer}; this node is ${state.phase}`;
    case 'prim':
      if (!idle) return `the module is ${state.phase}: prim starts a module that is stopped or waits`;
      if (peerLeads) return `${peer} is already primary; start this node as its secondary`;
      if (state.phase === 'WAIT' && state.blockedBy !== undefined) {
        const rule = `failover rule ${state.blockedBy} keeps the module waiting`;
        return `${rule}: mend what it names, or suspend the checks ("holdfast checker off")`;
      }
      if (command.image === true && imageRefusal(state) !== undefined) return imageRefusal(state);
      if (command.force === true) return undefined;
      if (witnessPrefersPeer(state)) {
        const newer = `the witness gave the right to go on to ${peer}, which holds newer data`;
        const image = state.replication.image === undefined ? '' : `, "primforce --image" with what it was at ${state.replication.image}`;
        return `${newer}; if ${peer} is lost for good, "primforce" goes on with this copy${image}`;
      }
      return command.image === true ? undefined : partialCopyRefusal(state);
    case 'second':
      if (!idle) return `the module is ${state.phase}: second starts a module that is stopped or waits`;
      if (!peerLeads) return `${peer} is not primary: nothing to be the secondary of`;
      if (!command.fullsync && state.settings.replicated && mustNotFollow(state)) {
        return `this copy has changes that ${peer} does not have; "second fullsync" gives them up`;
      }
      return undefined;
  }
}

/** A partial copy is never promoted as it is; what it was before the resync began may be. */
function partialCopyRefusal(state: MirrorState): string | undefined {
  if (!isPartial(state)) return undefined;
  const partial = 'the data may be inconsistent (stopped during a resync): this copy cannot become primary';
  const { image } = state.replication;
  if (image === undefined) return partial;
  return `${partial}; "prim --image" puts it back to ${image}, and gives up what ${state.settings.peer} wrote since`;
}

function imageRefusal(state: MirrorState): string | undefined {
  if (!isPartial(state)) return 'this copy is not partly synchronised: there is nothing to put back, use "prim"';
  if (state.durable.lineage.current === '') return 'this copy was never synchronised: what it was before is no copy of the data';
  return state.replication.image === undefined ? 'there is no image of this copy; "primforce" goes on with what there is' : undefined;
}

function isPartial({ durable, replication }: MirrorState): boolean {
  return durable.condition === 'inconsistent' || replication.inconsistent;
}

/** The record went on from what this copy knows. */
function witnessPrefersPeer(state: MirrorState): boolean {
  const { settings, witness, durable } = state;
  return settings.witness === 'strong' && witness.record?.owner === settings.peer && durable.lineage.current !== '' && contradicts(state);
}

function peerIsPrimary(state: MirrorState): boolean {
  const { peer } = state;
  return peer !== undefined && isAlive(state.detector, state.nowMs) && (peer.phase === 'ALONE' || peer.phase === 'PRIM');
}

function mustNotFollow(state: MirrorState): boolean {
  if (state.peer === undefined) return false;
  const order = compareLineages(state.durable.lineage, state.peer.lineage);
  return order === 'diverged' || order === 'first-newer';
}

/** Takes the next command from the queue. Returns false when there is none. */
export function takeCommand(draft: Draft): boolean {
  const [command, ...queue] = draft.state.queue;
  if (command === undefined) return false;
  draft.state = changed(draft.state, { queue });
  if (refusalOf(draft.state, command) !== undefined) return true;
  carryOut(draft, command);
  return true;
}

function carryOut(draft: Draft, command: Command): void {
  const { state } = draft;
  const durable = resetLoop(state.durable, state.wallMs);
  switch (command.verb) {
    case 'start':
      return beginStart(draft, reason(command.boot ? 'bootStart' : 'operatorStart'), command.boot ? state.durable : durable);
    case 'stop':
      if (state.phase !== 'STOP') beginStop(draft, reason(command.shutdown ? 'shutdown' : 'operatorStop'), durable, command.shutdown);
      return;
    case 'restart':
      if (command.automatic) return beginAutomatic(draft, 'restart', reason('operatorRestart'));
      return beginRestart(draft, reason('operatorRestart'), durable);
    case 'stopstart':
      if (command.automatic) return beginAutomatic(draft, 'stopstart', reason('operatorStopstart'));
      return beginWait(draft, reason('operatorStopstart'), { durable, action: 'stopstart' });
    case 'swap':
      return beginSwap(draft, reason('operatorSwap'));
    case 'incloop': {
      const next = counted(state);
      const fields = { identity: command.identity, count: next?.loop.count ?? state.durable.loop.count, max: state.settings.maxLoop };
      return beginQuietRecord(draft, next ?? state.durable, reason('loopIncremented', fields));
    }
    case 'resetloop':
      return beginQuietRecord(draft, durable, reason('loopReset'));
    case 'prim':
      draft.state = changed(state, {
        intent: 'prim',
        forced: command.force === true,
        fromImage: command.image === true,
        blockedUntilMs: 0,
      });
      if (state.phase === 'STOP') beginStart(draft, reason('operatorPrim'), durable);
      return;
    case 'second': {
      const emptied = { ...durable, lineage: LINEAGE_EMPTY, condition: 'outdated' as const, peerOutdated: false };
      const given = !command.fullsync ? durable : mustNotFollow(state) ? givingUp(durable) : emptied;
      draft.state = changed(state, { intent: 'second', blockedUntilMs: 0 });
      if (state.phase === 'STOP') return beginStart(draft, reason('operatorSecond'), given);
      return beginWait(draft, reason('operatorSecond'), { durable: given, action: 'second' });
    }
  }
}
