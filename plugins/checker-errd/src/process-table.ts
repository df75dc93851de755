/**
 * The processes of this node as /proc shows them, kept from scan to scan: a scan lists the directory and reads only what is new, young
 * (a new process is about to become another program by exec), wanted by the caller, or next in turn. So a late exec or a process id that
 * was given anew is found too, at a bounded cost per scan, however many processes there are.
 *
 * Zombies are dead, kernel threads have no arguments, and only this pid namespace is visible.
 */
import { readdirSync, readFileSync } from 'node:fs';

export interface Process {
  readonly pid: number;
  readonly parentPid: number;
  /** Clock ticks after boot: with the pid it names one process for ever. */
  readonly startTime: number;
  /** At most 15 bytes. */
  readonly name: string;
  /** Joined by spaces; undefined when no one asked for arguments. */
  readonly argumentsText: string | undefined;
}

interface Entry {
  process: Process;
  readonly firstSeenMs: number;
  readAtMs: number;
}

/** As long as a process is this young it is read again on every scan. */
const YOUNG_MS = 2500;
/** Of the processes that nothing else calls for, so many are read again per scan, the longest unread first. */
const TURNS_PER_SCAN = 20;
const ARGUMENTS_BYTES_MAX = 131_072;

export class ProcessTable {
  private readonly entries = new Map<number, Entry>();
  private readonly ownPid: number;

  /** @param ownPid never listed: an agent whose configuration matches its own arguments must not watch itself */
  constructor(ownPid: number = process.pid) {
    this.ownPid = ownPid;
  }

  /**
   * Brings the table up to date. A process that did not change stays the same object.
   * @param wanted pids to read again in any case
   * @param takeTurns false: a quick scan, for what is new
   */
  scan(nowMs: number, wanted: ReadonlySet<number>, withArguments: boolean, takeTurns = true): readonly Process[] {
    const present = new Set(listPids());
    present.delete(this.ownPid);
    for (const pid of this.entries.keys()) if (!present.has(pid)) this.entries.delete(pid);
    for (const pid of present) {
      const entry = this.entries.get(pid);
      if (entry === undefined || this.isDue(entry, nowMs, wanted, withArguments)) this.read(pid, nowMs, withArguments);
    }
    for (const pid of takeTurns ? this.nextInTurn(nowMs) : []) this.read(pid, nowMs, withArguments);
    return Array.from(this.entries.values(), (entry) => entry.process);
  }

  /** The process is known to be dead: what /proc still shows of it is read anew. */
  forget(pid: number): void {
    this.entries.delete(pid);
  }

  private isDue(entry: Entry, nowMs: number, wanted: ReadonlySet<number>, withArguments: boolean): boolean {
    const argumentsMissing = withArguments && entry.process.argumentsText === undefined;
    return argumentsMissing || nowMs - entry.firstSeenMs < YOUNG_MS || wanted.has(entry.process.pid);
  }

  /** Whoever is read goes to the end of the table, so that the longest unread are its first. */
  private nextInTurn(nowMs: number): readonly number[] {
    const next: number[] = [];
    for (const [pid, { readAtMs }] of this.entries) {
      if (readAtMs >= nowMs || next.length === TURNS_PER_SCAN) break;
      next.push(pid);
    }
    return next;
  }

  private read(pid: number, nowMs: number, withArguments: boolean): void {
    const entry = this.entries.get(pid);
    const found = readProcess(pid, withArguments);
    this.entries.delete(pid);
    if (found === undefined) return;
    if (entry?.process.startTime !== found.startTime) {
      this.entries.set(pid, { process: found, firstSeenMs: nowMs, readAtMs: nowMs });
    } else {
      const { process } = entry;
      const same = process.name === found.name && process.argumentsText === found.argumentsText && process.parentPid === found.parentPid;
      if (!same) entry.process = found;
      entry.readAtMs = nowMs;
      this.entries.set(pid, entry);
    }
  }
}

/** @returns undefined for a process that is gone, dead but not reaped, or not ours to see */
export function readProcess(pid: number, withArguments: boolean): Process | undefined {
  const stat = readText(`/proc/${pid}/stat`);
  const parsed = stat === undefined ? undefined : parseStat(stat);
  if (parsed === undefined) return undefined;
  const argumentsText = withArguments ? readText(`/proc/${pid}/cmdline`) : undefined;
  if (withArguments && argumentsText === undefined) return undefined;
  return { pid, ...parsed, argumentsText: argumentsText === undefined ? undefined : joinArguments(argumentsText) };
}

/**
 * `pid (name) state ppid … starttime …`: the name may contain spaces and parentheses, so it ends at the last one.
 * @returns undefined for a dead process, or a line that is not one
 */
export function parseStat(stat: string): Pick<Process, 'name' | 'parentPid' | 'startTime'> | undefined {
  const open = stat.indexOf('(');
  const close = stat.lastIndexOf(')');
  if (open < 0 || close < open) return undefined;
  const fields = stat.slice(close + 2).split(' ');
  const startTime = Number(fields[19]);
  if (!Number.isSafeInteger(startTime) || fields[0] === 'Z' || fields[0] === 'X' || fields[0] === 'x') return undefined;
  return { name: stat.slice(open + 1, close), parentPid: Number(fields[1]), startTime };
}

function joinArguments(cmdline: string): string {
  return cmdline.slice(0, ARGUMENTS_BYTES_MAX).replace(/\0+$/, '').replaceAll('\0', ' ');
}

function listPids(): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => name >= '1' && name < ':')
    .map(Number);
}

/** Processes end while they are read, and some belong to others: both are absent here. */
function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
