/**
 * The watching itself, in a thread of its own: it sleeps in the kernel until a matched process dies, a request comes or a scan is due.
 * When a death leaves too few, a quick scan for new processes follows at once, and is told, unless somebody is there who may start a
 * successor: then more looks follow, so that a process whose supervisor replaces it does not count as missing.
 */
import { ExtendedRegex } from '@holdfast/sdk';
import { clearWakeUp, closeDescriptor, openProcessDescriptor, ReadinessWait } from './libc.js';
import type { ProcessCriteria } from './configuration.js';
import type { Observation, WatchRequest, WorkerRequest } from './observation.js';
import { type Process, ProcessTable, readProcess } from './process-table.js';
import { Supervisors } from './supervisors.js';

/**
 * Further looks for a successor after the death of a supervised process; what the last one sees is told. On a busy node a supervisor
 * needs tens of milliseconds: less time here restarts healthy applications. Without a supervisor the first look decides.
 */
const LOOKS_AFTER_MS: readonly number[] = [5, 15, 50];
const LAST_LOOK_AFTER_MS = 50;
/** Beyond this many, deaths are noticed by the next scan: descriptors are a limited good of the whole agent. */
const PROCESS_DESCRIPTORS_MAX = 512;
/** Matched processes are read again on every scan, for the case that they exec something else; more than this many take turns. */
const REREAD_PER_WATCH_MAX = 32;
const PIDS_TOLD_MAX = 16;
/** Right after the start every scan is told, changed or not: the reader counts them. */
const SCANS_TOLD_AT_START = 3;

interface Watch {
  readonly request: WatchRequest;
  readonly matches: (process: Process) => boolean;
  /** Verdicts per process; a process that changed is another object. */
  readonly judged: WeakMap<Process, boolean>;
  scans: number;
  pids: readonly number[];
  toldCount: number | undefined;
  toldPids: string;
  toldAtMs: number;
  /** Since when too few are left, and which of them died in that time. */
  missing: Missing | undefined;
}

interface Missing {
  readonly sinceMs: number;
  readonly lost: Set<number>;
  /** The last one. */
  lookedAtMs: number | undefined;
}

interface Descriptor {
  readonly fd: number;
  readonly startTime: number;
}

export class ProcessWatcher {
  private readonly wakeUpFd: number;
  private readonly tell: (observation: Observation) => void;
  private readonly readiness = new ReadinessWait();
  private readonly table = new ProcessTable();
  private readonly watches = new Map<number, Watch>();
  private readonly descriptors = new Map<number, Descriptor>();
  private readonly supervisors = new Supervisors();
  private nextScanAtMs = 0;

  constructor(wakeUpFd: number, tell: (observation: Observation) => void) {
    this.wakeUpFd = wakeUpFd;
    this.tell = tell;
    this.readiness.add(wakeUpFd);
  }

  /** A new watch is looked for at once. */
  accept(request: WorkerRequest): void {
    if (request.kind === 'unwatch') {
      this.watches.delete(request.id);
      return;
    }
    this.watches.set(request.id, {
      request,
      matches: matcherOf(request.criteria),
      judged: new WeakMap(),
      scans: 0,
      pids: [],
      toldCount: undefined,
      toldPids: '',
      toldAtMs: 0,
      missing: undefined,
    });
    this.nextScanAtMs = 0;
  }

  /** Waits for the next thing to do and does it. Blocks the calling thread. */
  turn(): void {
    const nowMs = performance.now();
    const confirmations = Array.from(this.watches.values(), ({ missing }) => nextLookAtMs(missing));
    const dueMs = Math.min(this.nextScanAtMs, ...confirmations);
    const readable = this.readiness.wait(this.watches.size === 0 ? Infinity : dueMs - nowMs);
    if (readable.includes(this.wakeUpFd)) clearWakeUp(this.wakeUpFd);
    const died = this.removeDead(readable);
    const afterMs = performance.now();
    if (died.size > 0) this.noteDeaths(died, afterMs);
    if (afterMs >= this.nextScanAtMs) this.scan(afterMs, true);
    else if (died.size === 0 && afterMs >= dueMs) this.scan(afterMs, false);
  }

  close(): void {
    for (const { fd } of this.descriptors.values()) closeDescriptor(fd);
    this.readiness.close();
  }

  /** What is left is told, or confirmed by a look for successors. */
  private noteDeaths(died: ReadonlySet<number>, nowMs: number): void {
    for (const watch of this.watches.values()) {
      const left = watch.pids.filter((pid) => !died.has(pid));
      if (left.length === watch.pids.length) continue;
      lose(watch, left, nowMs);
      this.report(watch, nowMs);
    }
  }

  /** @returns the processes that have died */
  private removeDead(readable: readonly number[]): ReadonlySet<number> {
    const died = new Set<number>();
    for (const [pid, { fd }] of this.descriptors) {
      if (!readable.includes(fd)) continue;
      closeDescriptor(fd);
      this.descriptors.delete(pid);
      this.table.forget(pid);
      died.add(pid);
    }
    return died;
  }

  private scan(nowMs: number, regular: boolean): void {
    if (this.watches.size === 0) return;
    const watches = [...this.watches.values()];
    const wanted = new Set(watches.flatMap((watch) => watch.pids.slice(0, REREAD_PER_WATCH_MAX)));
    const withArguments = watches.some((watch) => watch.request.criteria.argumentsRegex !== undefined);
    const processes = this.table.scan(nowMs, wanted, withArguments, regular);
    const matched = new Map<number, Process>();
    for (const watch of watches) {
      const found = processes.filter((process) => judge(watch, process));
      for (const process of found) matched.set(process.pid, process);
      const left = found.map((process) => process.pid);
      lose(watch, left, nowMs);
    }
    const gone = this.follow(matched);
    for (const watch of watches) {
      lose(
        watch,
        watch.pids.filter((pid) => !gone.has(pid)),
        nowMs,
      );
      if (regular) watch.scans += 1;
      if (watch.missing !== undefined) watch.missing.lookedAtMs = nowMs;
      this.report(watch, nowMs);
    }
    this.supervisors.keep(
      new Set(matched.keys()),
      watches.flatMap(({ missing }) => [...(missing?.lost ?? [])]),
    );
    if (regular) this.nextScanAtMs = nowMs + Math.min(...watches.map(intervalMs));
  }

  /** Keeps one descriptor per matched process. @returns those that were gone before they could be followed */
  private follow(matched: ReadonlyMap<number, Process>): ReadonlySet<number> {
    for (const [pid, descriptor] of this.descriptors) {
      if (matched.get(pid)?.startTime === descriptor.startTime) continue;
      closeDescriptor(descriptor.fd);
      this.descriptors.delete(pid);
    }
    const gone = new Set<number>();
    for (const process of matched.values()) this.supervisors.note(process);
    for (const [pid, process] of matched) {
      if (this.descriptors.has(pid) || this.descriptors.size >= PROCESS_DESCRIPTORS_MAX) continue;
      const fd = openProcessDescriptor(pid);
      // The pid may have been given to another process between reading and opening: the start time tells.
      const still = readProcess(pid, false)?.startTime === process.startTime;
      if (!still) gone.add(pid);
      if (fd === undefined) continue;
      if (still && this.readiness.add(fd)) this.descriptors.set(pid, { fd, startTime: process.startTime });
      else closeDescriptor(fd);
    }
    return gone;
  }

  private report(watch: Watch, nowMs: number): void {
    const { request, missing } = watch;
    const count = watch.pids.length;
    if (missing !== undefined && !isEnough(watch, count) && request.criteria.pid === undefined && !this.isCertain(missing, nowMs)) return;
    watch.missing = undefined;
    this.nextScanAtMs = Math.min(this.nextScanAtMs, nowMs + intervalMs(watch));
    const toldPids = watch.pids.join();
    const repeat = nowMs - watch.toldAtMs >= request.repeatIntervalMs;
    if (toldPids === watch.toldPids && watch.scans > SCANS_TOLD_AT_START && !repeat) return;
    watch.toldCount = count;
    watch.toldPids = toldPids;
    watch.toldAtMs = nowMs;
    this.tell({ id: request.id, count, pids: watch.pids.slice(0, PIDS_TOLD_MAX), scans: watch.scans });
  }

  /** Whether nobody will start a successor any more. */
  private isCertain({ sinceMs, lost, lookedAtMs }: Missing, nowMs: number): boolean {
    if (lookedAtMs === undefined) return false;
    return nowMs - sinceMs >= LAST_LOOK_AFTER_MS || ![...lost].some((pid) => this.supervisors.mayReplace(pid));
  }
}

function nextLookAtMs(missing: Missing | undefined): number {
  if (missing === undefined) return Infinity;
  const { sinceMs, lookedAtMs } = missing;
  if (lookedAtMs === undefined) return sinceMs;
  return sinceMs + (LOOKS_AFTER_MS.find((afterMs) => sinceMs + afterMs > lookedAtMs) ?? LAST_LOOK_AFTER_MS);
}

/** Goes on with what is left, and remembers what is missing since when. */
function lose(watch: Watch, left: readonly number[], nowMs: number): void {
  const lost = watch.pids.filter((pid) => !left.includes(pid));
  watch.pids = left;
  if (watch.toldCount === undefined || !isEnough(watch, watch.toldCount) || isEnough(watch, left.length)) return;
  watch.missing ??= { sinceMs: nowMs, lost: new Set(), lookedAtMs: undefined };
  for (const pid of lost) watch.missing.lost.add(pid);
}

function isEnough({ request }: Watch, count: number): boolean {
  return request.atLeast === undefined || count >= request.atLeast;
}

function intervalMs(watch: Watch): number {
  const { scanIntervalMs, calmIntervalMs } = watch.request;
  return isEnough(watch, watch.pids.length) && watch.scans > SCANS_TOLD_AT_START ? calmIntervalMs : scanIntervalMs;
}

function judge(watch: Watch, process: Process): boolean {
  const known = watch.judged.get(process);
  if (known !== undefined) return known;
  const verdict = watch.matches(process);
  watch.judged.set(process, verdict);
  return verdict;
}

function matcherOf(criteria: ProcessCriteria): (process: Process) => boolean {
  const { name, pid } = criteria;
  const nameRegex = criteria.nameRegex === undefined ? undefined : new ExtendedRegex(criteria.nameRegex);
  const argumentsRegex = criteria.argumentsRegex === undefined ? undefined : new ExtendedRegex(criteria.argumentsRegex);
  return (process) =>
    (pid === undefined || process.pid === pid) &&
    (name === undefined || process.name === name) &&
    (nameRegex === undefined || nameRegex.test(process.name)) &&
    (argumentsRegex === undefined || argumentsRegex.test(process.argumentsText ?? ''));
}
