/**
 * The processes of a module's application, wherever they went: a daemon leaves the process group of the script that started it, and its
 * session too, but it stays in its control group and inherits the environment. What is in the application's group, or has the marker, and
 * what descends from it, is the application's. Without a group a daemon escapes that both clears its environment and leaves its parent.
 */
import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { ApplicationGroup } from './application-group.js';

/** Set for every start, stop and transition script. */
export const MARKER = 'HOLDFAST_APPLICATION';
const GONE_MS_MAX = 5000;
const LOOK_MS = 50;
/** What starts others all the time is held after a few looks, because what is held starts nothing. */
const HOLD_LOOKS_MAX = 20;
const COMMAND_LENGTH_MAX = 80;

export interface ApplicationProcess {
  readonly pid: number;
  readonly command: string;
}

/** @param marker value of the marker; never the agent itself, nor what it runs beside the scripts */
export async function applicationProcesses(marker: string, group?: ApplicationGroup): Promise<readonly ApplicationProcess[]> {
  const members = (await group?.pids()) ?? [];
  const pids = (await readdir('/proc')).filter((name) => /^[0-9]+$/.test(name)).map(Number);
  const parents = new Map<number, number>();
  const found = new Set<number>();
  const wanted = Buffer.from(`${MARKER}=${marker}`);
  for (const pid of pids) {
    const [stat, environment] = await Promise.all([read(pid, 'stat'), read(pid, 'environ')]);
    // The name is in parentheses and may contain anything: the state and the parent are behind the last one.
    const [state, parent] = stat
      .toString('latin1')
      .slice(stat.lastIndexOf(')') + 2)
      .split(' ');
    if (state === 'Z' || state === 'X' || parent === undefined) continue;
    parents.set(pid, Number(parent));
    if (hasWord(environment, wanted)) found.add(pid);
  }
  for (const pid of members) if (parents.has(pid)) found.add(pid);
  found.delete(process.pid);
  for (let grown = true; grown; ) {
    grown = false;
    for (const [pid, parent] of parents) {
      if (found.has(pid) || !found.has(parent) || pid === process.pid) continue;
      found.add(pid);
      grown = true;
    }
  }
  return Promise.all([...found].sort((a, b) => a - b).map(async (pid) => ({ pid, command: await commandOf(pid) })));
}

function hasWord(environment: Buffer, wanted: Buffer): boolean {
  for (let at = environment.indexOf(wanted); at >= 0; at = environment.indexOf(wanted, at + 1)) {
    const end = at + wanted.length;
    if ((at === 0 || environment[at - 1] === 0) && (end === environment.length || environment[end] === 0)) return true;
  }
  return false;
}

async function read(pid: number, name: string): Promise<Buffer> {
  return readFile(`/proc/${pid}/${name}`).catch(() => Buffer.alloc(0));
}

async function commandOf(pid: number): Promise<string> {
  const line = (await read(pid, 'cmdline')).toString('utf8').replace(/\0/g, ' ').trim();
  const shown = line === '' ? (await read(pid, 'comm')).toString('utf8').trim() : line;
  return shown.length > COMMAND_LENGTH_MAX ? `${shown.slice(0, COMMAND_LENGTH_MAX)}…` : shown;
}

export interface EndedApplication {
  readonly killed: readonly ApplicationProcess[];
  /** They wait for a disk or a file system that does not answer. */
  readonly left: readonly ApplicationProcess[];
}

/**
 * Kills all of them, and those that they started meanwhile: they are held first, so that one that watches another cannot start it anew
 * while it is killed.
 */
export async function endApplication(marker: string, group?: ApplicationGroup): Promise<EndedApplication> {
  const killed = new Map<number, ApplicationProcess>();
  const end = performance.now() + GONE_MS_MAX;
  for (;;) {
    const present = await applicationProcesses(marker, group);
    if (present.length === 0 || performance.now() > end) {
      const left = new Set(present.map(({ pid }) => pid));
      return { killed: [...killed.values()].filter(({ pid }) => !left.has(pid)), left: present };
    }
    for (const found of await hold(present, marker, group)) {
      killed.set(found.pid, killed.get(found.pid) ?? found);
      signal(found.pid, 'SIGKILL');
    }
    await group?.kill();
    await delay(LOOK_MS);
  }
}

/** @returns all that were held: nothing was started any more at the last look, unless there were too many looks */
async function hold(present: readonly ApplicationProcess[], marker: string, group?: ApplicationGroup): Promise<ApplicationProcess[]> {
  const held = new Map<number, ApplicationProcess>();
  let fresh = present;
  for (let looks = 0; fresh.length > 0 && looks < HOLD_LOOKS_MAX; looks += 1) {
    for (const found of fresh) {
      held.set(found.pid, found);
      signal(found.pid, 'SIGSTOP');
    }
    fresh = (await applicationProcesses(marker, group)).filter(({ pid }) => !held.has(pid));
  }
  return [...held.values()];
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It has ended by itself.
  }
}

export function listText(processes: readonly ApplicationProcess[]): string {
  return processes.map(({ pid, command }) => `${pid} (${command})`).join(', ');
}
