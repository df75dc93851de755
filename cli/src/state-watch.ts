/**
 * `state --watch`: each node is asked in its own loop, so that a dead node, which answers late or never, does not hold up the picture of
 * the others just when someone watches a failover. What is old is marked with its age.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from './core.js';
import { documentOf, type NodeStates, statesOf } from './commands/state.js';
import type { Session } from './session.js';
import { stateTable } from './state-view.js';

const POLL_MS = 1_000;
const FRAME_MS = 500;
/** An answer older than this is told to be old. */
const STALE_AFTER_MS = 3_000;

interface Seen {
  readonly states: NodeStates;
  readonly atMs: number;
}

export async function watchStates(session: Session, nodes: readonly string[], module: string | undefined): Promise<void> {
  const client = await session.client();
  const seen = new Map<string, Seen>();
  const end = new AbortController();
  const stop = (): void => end.abort();
  process.once('SIGINT', stop).once('SIGTERM', stop);
  const loops = nodes.map((node) => follow(client, node, module, seen, end.signal));
  try {
    await show(session, nodes, module, seen, end.signal);
  } finally {
    process.off('SIGINT', stop).off('SIGTERM', stop);
    stop();
    await Promise.all(loops);
  }
}

async function follow(
  client: Client,
  node: string,
  module: string | undefined,
  seen: Map<string, Seen>,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    const states = await Promise.race([statesOf(client, node, module), aborted(signal)]);
    if (states !== undefined) seen.set(node, { states, atMs: performance.now() });
    await pause(POLL_MS, signal);
  }
}

async function show(
  session: Session,
  nodes: readonly string[],
  module: string | undefined,
  seen: ReadonlyMap<string, Seen>,
  signal: AbortSignal,
): Promise<void> {
  const isScreen = process.stdout.isTTY && !session.json;
  let shown = '';
  while (!signal.aborted) {
    const known = nodes.flatMap((node) => seen.get(node) ?? []);
    if (known.length === nodes.length || isScreen) {
      const states = known.map(({ states }) => states);
      const text = session.json
        ? JSON.stringify({ nodes: states.map((state) => documentOf(state, module)) })
        : stateTable(session.paint, states);
      if (isScreen) process.stdout.write(`\x1b[H\x1b[2J${screenOf(text, nodes, seen)}\n`);
      // Not a screen: a line or table per change.
      else if (text !== shown) session.print(text);
      shown = text;
    }
    await pause(FRAME_MS, signal);
  }
}

function screenOf(text: string, nodes: readonly string[], seen: ReadonlyMap<string, Seen>): string {
  const notes = nodes.flatMap((node) => {
    const last = seen.get(node);
    if (last === undefined) return [`${node}: no answer yet`];
    const ageMs = performance.now() - last.atMs;
    return ageMs > STALE_AFTER_MS ? [`${node}: last answer ${Math.round(ageMs / 1_000)} s ago`] : [];
  });
  return [`${new Date().toLocaleTimeString('en-GB')}   Ctrl-C ends`, '', text, ...(notes.length === 0 ? [] : ['', ...notes])].join('\n');
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => undefined);
}

function aborted(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(undefined);
    else signal.addEventListener('abort', () => resolve(undefined), { once: true });
  });
}
