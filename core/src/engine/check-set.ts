/**
 * The checks of a module, started and stopped by the group of scripts that they belong to, or by name when they have a class of their own.
 * What a checker says becomes a fact only here: repeated as often as it must be, replaced by unknown when the checker hangs, and answered
 * by the module's own executable where the check names one.
 */
import type { Check, CheckResult, Log } from '@holdfast/sdk';
import { HoldfastError, messageOf } from '@holdfast/sdk';
import type { CheckAction, ResourceValue } from '../model/resource.js';
import type { CheckGroup } from '../decide/mirror/types.js';
import { RepeatedVerdict } from './repeated-verdict.js';
import type { ResourceBook } from './resource-book.js';

/** Who hears of the verdicts. */
export interface CheckListener {
  report(name: string, value: ResourceValue, detail: string, action: CheckAction): void;
  /** Runs an executable of the module as one of a group of scripts. @throws when it fails or is missing */
  runHandler(script: string, resource: string, detail: string, group: string): Promise<void>;
}

interface RunningCheck {
  readonly verdicts: RepeatedVerdict;
  silence: NodeJS.Timeout | undefined;
  handling: boolean;
}

/** A checker that takes longer to start or stop must not hold up a failover. */
const PATIENCE_MS = 5000;
const NOT_WATCHED = 'not watched in this state';
const SWITCHED_OFF = 'its class is not enabled';
const SUSPENDED = 'suspended for maintenance';

/** Which maintenance switch a check obeys. */
export type CheckKind = 'checker' | 'errd';

function kindOf({ resource }: Check): CheckKind {
  return resource.startsWith('proc.') ? 'errd' : 'checker';
}

export class CheckSet {
  private readonly running = new Map<Check, RunningCheck>();
  private readonly patienceMs: number;
  /** Phases and classes whose checks are to run now. */
  private readonly active = new Set<string>();
  private readonly suspended: Set<CheckKind>;

  constructor(
    private checks: readonly Check[],
    private readonly resources: ResourceBook,
    private readonly log: Log,
    options: { readonly patienceMs?: number; readonly suspended?: readonly CheckKind[] } = {},
  ) {
    this.suspended = new Set(options.suspended);
    this.patienceMs = options.patienceMs ?? PATIENCE_MS;
    for (const check of checks) resources.set(check.resource, 'init', idleDetail(check));
  }

  /** Names of the classes that the module's checks have of their own. */
  get classes(): readonly string[] {
    const names = this.checks.flatMap(({ phase }) => (phase.startsWith('class:') ? [phase.slice('class:'.length)] : []));
    return [...new Set(names)].sort();
  }

  /** A checker that fails to start makes its resource unknown; it never stops a module from starting. */
  async start(group: CheckGroup, listener: CheckListener): Promise<void> {
    this.active.add(group);
    await Promise.all(this.checks.filter(({ phase }) => phase === group).map((check) => this.startOne(check, listener)));
  }

  /** Classes end with the role whose scripts enabled them; `sec` alone is left while the application goes on. */
  async stop(group: CheckGroup, listener: CheckListener): Promise<void> {
    const ends = ({ phase }: Check): boolean => phase === group || (group !== 'sec' && phase.startsWith('class:'));
    this.active.delete(group);
    if (group !== 'sec') for (const name of this.classes) this.active.delete(`class:${name}`);
    await Promise.all(this.checks.filter(ends).map((check) => this.stopOne(check, listener)));
  }

  /** Starts or stops the checks of a class. @throws HoldfastError HF_CHECK_CLASS_UNKNOWN */
  async switchClass(name: string, enabled: boolean, listener: CheckListener): Promise<void> {
    const members = this.checks.filter(({ phase }) => phase === `class:${name}`);
    if (members.length === 0) {
      const known = this.classes.join(', ') || 'none; prim, both, pre, second and sec follow the scripts by themselves';
      throw new HoldfastError('HF_CHECK_CLASS_UNKNOWN', `no process of this module has class "${name}"; classes: ${known}`, {
        class: name,
      });
    }
    if (enabled) this.active.add(`class:${name}`);
    else this.active.delete(`class:${name}`);
    await Promise.all(members.map((check) => (enabled ? this.startOne(check, listener) : this.stopOne(check, listener))));
  }

  /**
   * Takes another list while the module runs: what is the same goes on undisturbed, what is gone stops and its resource with it, and what
   * is new starts where its group runs, or another check of its class. The list is the new one before this returns its promise.
   */
  async exchange(next: readonly Check[], isSame: (old: Check, next: Check) => boolean, listener: CheckListener): Promise<void> {
    const before = this.checks;
    const merged = next.map((check) => before.find((old) => isSame(old, check)) ?? check);
    const gone = before.filter((check) => !merged.includes(check));
    const added = merged.filter((check) => !before.includes(check));
    this.checks = merged;
    this.resources.watch(merged);
    // At once: a failover rule must not take what is not looked at yet for what does not exist.
    for (const check of added) {
      if (!before.some(({ resource }) => resource === check.resource)) this.resources.set(check.resource, 'init', idleDetail(check));
    }
    await Promise.all(gone.map((check) => this.stopOne(check, listener)));
    for (const { resource } of gone) if (!merged.some((check) => check.resource === resource)) this.resources.remove(resource);
    for (const check of added) this.resources.set(check.resource, 'init', idleDetail(check));
    await Promise.all(added.filter(({ phase }) => this.active.has(phase)).map((check) => this.startOne(check, listener)));
  }

  /** Maintenance: the checks of a kind stop, and say nothing until they are resumed where they would run by then. */
  async suspend(kind: CheckKind, suspended: boolean, listener: CheckListener): Promise<void> {
    const members = this.checks.filter((check) => kindOf(check) === kind);
    if (suspended) this.suspended.add(kind);
    else this.suspended.delete(kind);
    await Promise.all(
      members.map(async (check) => {
        const isWanted = this.active.has(check.phase);
        if (!suspended && isWanted) return this.startOne(check, listener);
        await this.stopOne(check, listener);
        if (suspended && isWanted) listener.report(check.resource, 'unknown', SUSPENDED, check.action);
        if (!suspended) listener.report(check.resource, 'init', idleDetail(check), check.action);
      }),
    );
  }

  /** What follows from a verdict about this resource. @throws HoldfastError HF_RESOURCE_NOT_SETTABLE when no checker has it */
  actionOf(resource: string): CheckAction {
    const check = this.checks.find((candidate) => candidate.resource === resource);
    if (check !== undefined) return check.script === undefined ? check.action : 'noaction';
    const message = `${resource} is no resource of a checker: what the agent finds out by itself cannot be set, not even by force`;
    throw new HoldfastError('HF_RESOURCE_NOT_SETTABLE', message, { resource });
  }

  /** Hands a verdict from outside to its check. @throws HoldfastError HF_RESOURCE_NOT_SETTABLE */
  set(resource: string, result: CheckResult): void {
    const check = this.checks.find((candidate) => candidate.resource === resource);
    const refuse = (why: string): never => {
      const settable = this.checks.filter((candidate) => candidate.set !== undefined).map((candidate) => candidate.resource);
      const hint = settable.length === 0 ? 'this module has none that can be set' : `can be set: ${settable.join(', ')}`;
      throw new HoldfastError('HF_RESOURCE_NOT_SETTABLE', `${resource} ${why}; ${hint}`, { resource });
    };
    if (check === undefined) return refuse('is no resource of a checker');
    if (check.set === undefined) return refuse('is found out by its checker');
    if (!this.running.has(check)) return refuse('is not watched in this state');
    check.set(result);
  }

  /** What a restart because of this resource is limited to; undefined: everything. */
  restartServices(resource: string): readonly string[] | undefined {
    return this.checks.find((check) => check.resource === resource)?.restartServices;
  }

  async stopAll(): Promise<void> {
    await Promise.all([...this.running.keys()].map((check) => this.stopOne(check, undefined)));
  }

  private async startOne(check: Check, listener: CheckListener): Promise<void> {
    if (this.running.has(check)) return;
    if (this.suspended.has(kindOf(check))) return void listener.report(check.resource, 'unknown', SUSPENDED, check.action);
    const running: RunningCheck = { verdicts: new RepeatedVerdict(check.repeats), silence: undefined, handling: false };
    this.running.set(check, running);
    this.expectReport(check, running, listener);
    const fail = (why: string): void => {
      this.log.error('checker failed to start', { resource: check.resource, error: why });
      if (this.running.get(check) === running) listener.report(check.resource, 'unknown', why, check.action);
    };
    try {
      const started = check.start((result) => {
        if (this.running.get(check) === running) this.take(check, running, result, listener);
      });
      if (!(await this.patiently(started))) fail(`the checker did not start within ${this.patienceMs} ms`);
    } catch (error) {
      fail(messageOf(error));
    }
  }

  /** The verdicts of a check that ended say nothing any more: its resource goes back to init. */
  private async stopOne(check: Check, listener: CheckListener | undefined): Promise<void> {
    const running = this.running.get(check);
    if (running === undefined) return;
    this.running.delete(check);
    this.resources.figures.set(check.resource);
    clearTimeout(running.silence);
    try {
      if (!(await this.patiently(check.stop()))) throw new Error(`it did not stop within ${this.patienceMs} ms`);
    } catch (error) {
      this.log.error('checker failed to stop', { resource: check.resource, error: messageOf(error) });
    }
    listener?.report(check.resource, 'init', idleDetail(check), check.action);
  }

  private take(check: Check, running: RunningCheck, result: CheckResult, listener: CheckListener): void {
    this.expectReport(check, running, listener);
    this.resources.figures.set(check.resource, result.figures);
    const { verdict, detail } = running.verdicts.take(result);
    // One failure of three is no verdict yet: a module that waits for the first one goes on waiting.
    const value = verdict === 'unknown' && result.verdict !== 'unknown' ? 'init' : verdict;
    if (check.script === undefined) {
      listener.report(check.resource, value, detail, check.action);
      return;
    }
    listener.report(check.resource, value, detail, 'noaction');
    if (verdict === 'down') void this.handle(check, check.script, running, detail, listener);
  }

  /** One run at a time; while the resource stays down, every further verdict calls the executable again. */
  private async handle(check: Check, script: string, running: RunningCheck, detail: string, listener: CheckListener): Promise<void> {
    if (running.handling) return;
    running.handling = true;
    try {
      await listener.runHandler(script, check.resource, detail, this.groupOf(check));
    } catch (error) {
      if (this.running.get(check) === running) listener.report(check.resource, 'down', `${detail}; ${messageOf(error)}`, 'stopstart');
    } finally {
      running.handling = false;
    }
  }

  /** A class of its own belongs to the role that the application has now. */
  private groupOf({ phase }: Check): string {
    if (!phase.startsWith('class:')) return phase;
    return ['prim', 'second', 'both'].find((group) => this.active.has(group)) ?? 'both';
  }

  private expectReport(check: Check, running: RunningCheck, listener: CheckListener): void {
    const { silenceMs } = check;
    if (silenceMs === undefined) return;
    clearTimeout(running.silence);
    running.silence = setTimeout(() => {
      this.log.error('checker is silent', { resource: check.resource, silenceMs });
      this.resources.figures.set(check.resource);
      listener.report(check.resource, 'unknown', `no verdict for ${silenceMs / 1000} s: the checker hangs`, check.action);
    }, silenceMs);
  }

  /** @returns whether the work ended in time. @throws what it throws within that time */
  private async patiently(work: Promise<void>): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<false>((resolve) => {
      timer = setTimeout(resolve, this.patienceMs, false);
    });
    try {
      return await Promise.race([work.then(() => true), late]);
    } finally {
      clearTimeout(timer);
    }
  }
}

function idleDetail({ phase }: Check): string {
  return phase.startsWith('class:') ? SWITCHED_OFF : NOT_WATCHED;
}
