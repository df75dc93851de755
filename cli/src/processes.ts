/**
 * The processes of this machine, and how to end some of them for good: asked first, killed after a moment, with everything that they start
 * meanwhile. A process is named by its number and its start time, so that a number that is given again never costs a stranger's life.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

export interface FoundProcess {
  readonly pid: number;
  readonly parentPid: number;
  /** At most 15 bytes. */
  readonly name: string;
  /** Joined by spaces; the name in brackets when there are none. */
  readonly command: string;
  readonly startTime: number;
}

const LOOK_EVERY_MS = 50;

/** Dead ones that nobody has waited for are no processes any more. */
export function listProcesses(): readonly FoundProcess[] {
  return readdirSync('/proc')
    .filter((name) => /^[0-9]+$/.test(name))
    .flatMap((name) => readOne(Number(name)) ?? []);
}

function readOne(pid: number): FoundProcess | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // `pid (name) state ppid …`: the name may contain anything, so it ends at the last parenthesis.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (fields[0] === 'Z' || fields[0] === 'X') return undefined;
    const name = stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'));
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replace(/\0+$/, '').replaceAll('\0', ' ');
    return { pid, parentPid: Number(fields[1]), name, command: words === '' ? `[${name}]` : words, startTime: Number(fields[19]) };
  } catch {
    return undefined;
  }
}

/** The roots and all that descends from them, parents first. */
export function treeOf(roots: readonly FoundProcess[], all: readonly FoundProcess[]): readonly FoundProcess[] {
  const found = new Map(roots.map((root) => [root.pid, root]));
  for (const { pid } of found.values()) {
    for (const process of all) if (process.parentPid === pid && !found.has(process.pid)) found.set(process.pid, process);
  }
  return [...found.values()];
}

/** This process and everything that it descends from: what no command here ever ends. */
export function ownLine(all: readonly FoundProcess[]): ReadonlySet<number> {
  const line = new Set<number>();
  for (let pid = process.pid; pid > 0 && !line.has(pid); pid = all.find((one) => one.pid === pid)?.parentPid ?? 0) line.add(pid);
  return line;
}

/**
 * Ends these processes: SIGTERM, and SIGKILL for those that are still there after the patience.
 * @param withDescendants also what they have started, or start while they end
 * @returns those that are left, which only a process stuck in the kernel is
 */
export async function endProcesses(
  roots: readonly FoundProcess[],
  patienceMs: number,
  withDescendants: boolean,
): Promise<readonly FoundProcess[]> {
  const known = new Map<string, FoundProcess>(roots.map((root) => [keyOf(root), root]));
  const asked = new Set<string>();
  const startedMs = performance.now();
  for (;;) {
    const all = listProcesses();
    const alive = all.filter((process) => known.has(keyOf(process)));
    const targets = withDescendants ? treeOf(alive, all).filter((one) => !ownLine(all).has(one.pid)) : alive;
    for (const target of targets) known.set(keyOf(target), target);
    if (targets.length === 0) return [];
    const waitedMs = performance.now() - startedMs;
    if (waitedMs > patienceMs * 2 + 1000) return targets;
    for (const target of targets) {
      if (waitedMs >= patienceMs) signal(target, 'SIGKILL');
      else if (!asked.has(keyOf(target))) signal(target, 'SIGTERM');
      asked.add(keyOf(target));
    }
    await delay(LOOK_EVERY_MS);
  }
}

export function signal({ pid }: FoundProcess, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It has ended by itself.
  }
}

function keyOf({ pid, startTime }: FoundProcess): string {
  return `${pid}@${startTime}`;
}
