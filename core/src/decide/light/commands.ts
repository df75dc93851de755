/** Operators' commands for a module without roles: which are possible now, and what they begin. */
import { reason } from '../../model/reason.js';
import { counted, resetLoop } from '../mirror/loop-counter.js';
import type { Command } from '../mirror/types.js';
import { beginAutomatic, beginQuietRecord, beginRestart, beginStart, beginStop, beginWait } from './sequences.js';
import type { LightDraft, LightState } from './types.js';

/** Why a command cannot be carried out now; undefined when it can. */
export function refusalOf(state: LightState, command: Command): string | undefined {
  const { mode } = state.settings;
  switch (command.verb) {
    case 'start':
      return state.phase === 'STOP' || state.sequence?.name === 'stop' ? undefined : `the module is already started (${state.phase})`;
    case 'stop':
    case 'incloop':
    case 'resetloop':
      return undefined;
    case 'restart':
    case 'stopstart':
      return state.phase === 'UP' ? undefined : `the module is ${state.phase}: only UP can ${command.verb}`;
    case 'swap':
    case 'prim':
    case 'second':
      return `a ${mode} module has no primary and no secondary: every node runs it by itself, use start`;
  }
}

/** Takes the next command from the queue. Returns false when there is none. */
export function takeCommand(draft: LightDraft): boolean {
  const [command, ...queue] = draft.state.queue;
  if (command === undefined) return false;
  draft.state = { ...draft.state, queue };
  if (refusalOf(draft.state, command) === undefined) carryOut(draft, command);
  return true;
}

function carryOut(draft: LightDraft, command: Command): void {
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
      return beginWait(draft, reason('operatorStopstart'), durable, 'stopstart', 0);
    case 'incloop': {
      const next = counted(state);
      const fields = { identity: command.identity, count: next?.loop.count ?? state.durable.loop.count, max: state.settings.maxLoop };
      return beginQuietRecord(draft, next ?? state.durable, reason('loopIncremented', fields));
    }
    case 'resetloop':
      return beginQuietRecord(draft, durable, reason('loopReset'));
    case 'swap':
    case 'prim':
    case 'second':
      return;
  }
}
