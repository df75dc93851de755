/**
 * Waiting for a state: polls the module until a goal is met, shows what it waits for on a terminal, and says at the deadline where things
 * stand. An agent or node that does not answer is waited for too: it may be booting.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { HoldfastError } from '@holdfast/sdk';
import type { Client, ModuleView, Verb } from './core.js';
import type { Session } from './session.js';
import { resyncText } from './terminal.js';

const POLL_MS = 250;
/** A command that changed nothing visible within this time has had its effect already. */
const SETTLED_AFTER_MS = 3_000;

export type Verdict = 'met' | 'waiting' | 'failed';

export interface Goal {
  /** For messages: `PRIM (Ready)`. */
  readonly text: string;
  /** Called with every view, in order. `elapsedMs` since the wait began. */
  readonly judge: (view: ModuleView, elapsedMs: number) => Verdict;
}

const PHASES: readonly string[] = ['STOP', 'WAIT', 'ALONE', 'PRIM', 'SECOND', 'UP'];

/** `PRIM`, or `PRIM,ALONE`. STOP and WAIT are never Ready, so they count at once; the others count when Ready. */
export function stateGoal(states: string): Goal {
  const wanted = states.split(',').map((state) => state.trim().toUpperCase());
  const unknown = wanted.find((state) => !PHASES.includes(state));
  if (unknown !== undefined) {
    throw new HoldfastError('HF_CLI_USAGE', `"${unknown}" is no state; the states are ${PHASES.join(', ')}`);
  }
  return {
    text: goalText(wanted),
    judge: (view) => (wanted.includes(view.phase) && isSettled(view) ? 'met' : 'waiting'),
  };
}

/** When a command that was given in the state `before` has had its effect. */
export function commandGoal(verb: Verb, before: ModuleView): Goal {
  const phases = phasesAfter(verb, before);
  // The others may pass through STOP on their way.
  const failsInStop = verb === 'start' || verb === 'prim' || verb === 'second';
  let moved = verb === 'stop' && before.phase === 'STOP';
  let started = false;
  return {
    text: goalText(phases),
    judge: (view, elapsedMs) => {
      moved ||= view.phase !== before.phase || view.quality !== before.quality || view.since !== before.since;
      if ((moved || elapsedMs > SETTLED_AFTER_MS) && phases.includes(view.phase) && isSettled(view)) return 'met';
      // A module that was on its way and is stopped will not get there by itself.
      if (failsInStop && started && view.phase === 'STOP') return 'failed';
      started ||= view.phase !== 'STOP';
      return 'waiting';
    },
  };
}

function phasesAfter(verb: Verb, before: ModuleView): readonly string[] {
  switch (verb) {
    case 'start':
    case 'stopstart':
    case 'restart':
      return ['ALONE', 'PRIM', 'SECOND', 'UP'];
    case 'stop':
      return ['STOP'];
    case 'prim':
      return ['PRIM', 'ALONE'];
    case 'second':
      return ['SECOND'];
    case 'swap':
      return before.phase === 'SECOND' ? ['PRIM', 'ALONE'] : ['SECOND'];
  }
}

function goalText(phases: readonly string[]): string {
  return phases.map((phase) => (phase === 'STOP' || phase === 'WAIT' ? phase : `${phase} (Ready)`)).join(' or ');
}

function isSettled(view: ModuleView): boolean {
  return view.quality === 'Ready' || view.phase === 'STOP' || view.phase === 'WAIT';
}

/** @throws HF_CLI_WAIT_TIMEOUT, HF_CLI_WAIT_FAILED with the state and its reason, or the agent's error when it will not pass. */
export async function waitFor(session: Session, client: Client, module: string, goal: Goal, timeoutSeconds: number): Promise<ModuleView> {
  const began = performance.now();
  const line = new ProgressLine(session);
  let last: string;
  try {
    for (;;) {
      const elapsedMs = performance.now() - began;
      const seen = await look(client, module, Math.max(POLL_MS, timeoutSeconds * 1_000 - elapsedMs));
      if (seen instanceof HoldfastError) {
        last = seen.message;
        line.show(`waiting for ${goal.text}: ${seen.message}`);
      } else {
        const state = `${seen.phase} (${seen.quality})`;
        last = `it is ${state}: ${seen.reason.text}`;
        line.show(progressText(session, seen, goal));
        switch (goal.judge(seen, elapsedMs)) {
          case 'met':
            return seen;
          case 'failed':
            throw new HoldfastError('HF_CLI_WAIT_FAILED', `${module} did not become ${goal.text}: ${last}`, {
              module,
              state,
              reason: seen.reason,
            });
          case 'waiting':
            break;
        }
      }
      if (performance.now() - began >= timeoutSeconds * 1_000) {
        throw new HoldfastError('HF_CLI_WAIT_TIMEOUT', `${module} did not become ${goal.text} within ${timeoutSeconds} s; ${last}`, {
          module,
          timeoutSeconds,
        });
      }
      await delay(POLL_MS);
    }
  } finally {
    line.clear();
  }
}

/** Failures that may pass. Everything else is the command's error. */
export async function look(client: Client, module: string, timeoutMs: number): Promise<ModuleView | HoldfastError> {
  const deadline = new AbortController();
  const timedOut = delay(timeoutMs, new HoldfastError('HF_AGENT_TIMEOUT', 'the agent did not answer in time'), { signal: deadline.signal });
  timedOut.catch(() => undefined);
  try {
    return await Promise.race([client.module(module), timedOut]);
  } catch (error) {
    const mayPass =
      error instanceof HoldfastError &&
      /^HF_(AGENT_(NOT_RUNNING|UNREACHABLE|TIMEOUT)|NODE_(UNREACHABLE|TIMEOUT)|API_STOPPING)$/.test(error.code);
    if (mayPass) return error;
    throw error;
  } finally {
    deadline.abort();
  }
}

function progressText(session: Session, view: ModuleView, goal: Goal): string {
  const progress = view.replication?.progress;
  const detail = progress === undefined ? view.reason.text : resyncText(progress);
  return `${view.module} on ${view.node}: ${session.paint.state(view)}, waiting for ${goal.text}  ${detail}`;
}

/** One line on stderr that replaces itself; silent unless a person looks. */
export class ProgressLine {
  private readonly enabled: boolean;
  private shown = '';

  constructor(session: Session) {
    // With several nodes, their lines would overwrite each other.
    this.enabled = process.stderr.isTTY && !session.json && session.options.hosts === undefined;
  }

  show(text: string): void {
    if (!this.enabled || text === this.shown) return;
    this.shown = text;
    // The cut may fall behind a colour: ended explicitly.
    process.stderr.write(`\r\x1b[2K${text.slice(0, Math.max(20, process.stderr.columns - 1))}\x1b[0m`);
  }

  clear(): void {
    if (this.shown !== '') process.stderr.write('\r\x1b[2K');
  }
}
