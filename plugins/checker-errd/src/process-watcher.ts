/**
 * The watching itself, in a thread of its own: it sleeps in the kernel until a matched process dies, a request comes or a scan is due.
 * A death is followed by a scan at once; if too few are left then, by one more a moment later, so that a process whose supervisor started
 * a successor in the same instant never counts as missing.
 */
import { ExtendedRegex } from '@holdfast/sdk';
import { clearWakeUp, closeDescriptor, openProcessDescriptor, ReadinessWait } from './libc.js';
import type { ProcessCriteria } from './configuration.js';
import type { Observation, WatchRequest, WorkerRequest } from './observation.js';
import { type Process, ProcessTable, readProcess } from './process-table.js';

const CONFIRM_AFTER_MS = 50;
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
  confirmAtMs: number | undefined;
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
      confirmAtMs: undefined,
    });
    this.nextScanAtMs = 0;
  }

  /** Waits for the next thing to do and does it. Blocks the calling thread. */
  turn(): void {
    const nowMs = performance.now();
    const confirmations = Array.from(this.watches.values(), (watch) => watch.confirmAtMs ?? Infinity);
    const dueMs = Math.min(this.nextScanAtMs, ...confirmations);
    const readable = this.readiness.wait(this.watches.size === 0 ? Infinity : dueMs - nowMs);
    if (readable.includes(this.wakeUpFd)) clearWakeUp(this.wakeUpFd);
    const died = this.removeDead(readable);
    const afterMs = performance.now();
    if (afterMs >= this.nextScanAtMs) this.scan(afterMs, true);
    else if (died || afterMs >= dueMs) this.scan(afterMs, false);
  }

  close(): void {
    for (const { fd } of this.descriptors.values()) closeDescriptor(fd);
    this.readiness.close();
  }

  private removeDead(readable: readonly number[]): boolean {
    let died = false;
    for (const [pid, { fd }] of this.descriptors) {
      if (!readable.includes(fd)) continue;
      closeDescriptor(fd);
      this.descriptors.delete(pid);
      this.table.forget(pid);
      died = true;
    }
    return died;
  }

  private scan(nowMs: number, regular: boolean): void {
    if (this.watches.size === 0) return;
    const watches = [...this.watches.values()];
    const wanted = new Set(watches.flatMap((watch) => watch.pids.slice(0, REREAD_PER_WATCH_MAX)));
    const withArguments = watches.some((watch) => watch.request.criteria.argumentsRegex !== undefined);
    const processes = this.table.scan(nowMs, wanted, withArguments);
    const matched = new Map<number, Process>();
    for (const watch of watches) {
      const found = processes.filter((process) => judge(watch, process));
      for (const process of found) matched.set(process.pid, process);
      watch.pids = found.map((process) => process.pid);
    }
    const gone = this.follow(matched);
    for (const watch of watches) {
      watch.pids = watch.pids.filter((pid) => !gone.has(pid));
      if (regular) watch.scans += 1;
      this.report(watch, nowMs);
    }
    if (regular) this.nextScanAtMs = nowMs + Math.min(...watches.map((watch) => watch.request.scanIntervalMs));
  }

  /** Keeps one descriptor per matched process. @returns those that were gone before they could be followed */
  private follow(matched: ReadonlyMap<number, Process>): ReadonlySet<number> {
    for (const [pid, descriptor] of this.descriptors) {
      if (matched.get(pid)?.startTime === descriptor.startTime) continue;
      closeDescriptor(descriptor.fd);
      this.descriptors.delete(pid);
    }
    const gone = new Set<number>();
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
    const { request, toldCount } = watch;
    const count = watch.pids.length;
    const enough = (number: number): boolean => request.atLeast === undefined || number >= request.atLeast;
    if (toldCount !== undefined && enough(toldCount) && !enough(count)) {
      watch.confirmAtMs ??= nowMs + CONFIRM_AFTER_MS;
      if (nowMs < watch.confirmAtMs) return;
    }
    watch.confirmAtMs = undefined;
    const toldPids = watch.pids.join();
    const repeat = nowMs - watch.toldAtMs >= request.repeatIntervalMs;
    if (toldPids === watch.toldPids && watch.scans > SCANS_TOLD_AT_START && !repeat) return;
    watch.toldCount = count;
    watch.toldPids = toldPids;
    watch.toldAtMs = nowMs;
    this.tell({ id: request.id, count, pids: watch.pids.slice(0, PIDS_TOLD_MAX), scans: watch.scans });
  }
}

function judge(watch: Watch, process: Process): boolean {
  const known = watch.judged.get(process);
  if (known !== undefined) return known;
  const verdict = watch.matches(process);
  watch.judged.set(process, verdict);
  return verdict;
}

function matcherOf(criteria: ProcessCriteria): (process: Process) => boolean {
  const { name } = criteria;
  const nameRegex = criteria.nameRegex === undefined ? undefined : new ExtendedRegex(criteria.nameRegex);
  const argumentsRegex = criteria.argumentsRegex === undefined ? undefined : new ExtendedRegex(criteria.argumentsRegex);
  return (process) =>
    (name === undefined || process.name === name) &&
    (nameRegex === undefined || nameRegex.test(process.name)) &&
    (argumentsRegex === undefined || argumentsRegex.test(process.argumentsText ?? ''));
}
