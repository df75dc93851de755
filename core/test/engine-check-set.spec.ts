/** What becomes of verdicts on their way to the decision: repeats, silence, classes, the module's executables, verdicts from outside. */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { type Check, type CheckResult, type Figure, HoldfastError, type Log } from '@holdfast/sdk';
import { type CheckListener, CheckSet } from '../src/engine/check-set.js';
import { RepeatedVerdict } from '../src/engine/repeated-verdict.js';
import { ResourceBook } from '../src/engine/resource-book.js';

const ignore = (): void => undefined;
const log: Log = { debug: ignore, info: ignore, warn: ignore, error: ignore };

/** A check that says what the test says. */
class ToldCheck implements Check {
  readonly resource: string = 'custom.door';
  readonly phase: Check['phase'] = 'prim';
  readonly action: Check['action'] = 'restart';
  readonly script?: string;
  readonly silenceMs?: number;
  readonly set?: (result: CheckResult) => void;
  starts = 0;
  report: (result: CheckResult) => void = ignore;

  constructor(changes: Partial<Check> = {}) {
    Object.assign(this, changes);
  }

  async start(report: (result: CheckResult) => void): Promise<void> {
    this.starts += 1;
    this.report = report;
  }

  async stop(): Promise<void> {
    this.starts -= 1;
  }

  say(verdict: CheckResult['verdict']): void {
    this.report({ verdict, detail: 'said so' });
  }
}

class Heard implements CheckListener {
  readonly reports: string[] = [];
  readonly handled: string[] = [];
  readonly groups: string[] = [];
  handler: () => Promise<void> = () => Promise.resolve();

  report(name: string, value: string, detail: string, action: string): void {
    this.reports.push(`${name} ${value} ${action}: ${detail}`);
  }

  runHandler(script: string, resource: string, _detail: string, group: string): Promise<void> {
    this.groups.push(group);
    this.handled.push(`${script} ${resource}`);
    return this.handler();
  }
}

function setOf(...checks: readonly Check[]): CheckSet {
  return new CheckSet(checks, new ResourceBook(), log, { patienceMs: 50 });
}

describe('a verdict that must be repeated', () => {
  const play = (verdicts: string, repeats?: { down: number; up: number }): string => {
    const word = { u: 'up', d: 'down', n: 'unknown' } as const;
    const letterOf = { up: 'u', down: 'd', unknown: '?' };
    const repeated = new RepeatedVerdict(repeats);
    return [...verdicts].map((letter) => letterOf[repeated.take({ verdict: word[letter as 'u'], detail: '' }).verdict]).join('');
  };

  it('counts at once by default', () => {
    assert.equal(play('uduun'), 'uduu?');
  });

  it('is down after so many failures in a row, and up after so many successes', () => {
    assert.equal(play('uddudddduuudu', { down: 3, up: 2 }), 'uuuuuuddduuuu');
  });

  it('is not known from one failure at the start, and not kept from being up by anything there', () => {
    assert.equal(play('ddd', { down: 3, up: 2 }), '??d');
    assert.deepEqual(new RepeatedVerdict({ down: 3, up: 1 }).take({ verdict: 'down', detail: 'refused' }), {
      verdict: 'unknown',
      detail: 'refused (1 of 3)',
    });
    assert.equal(new RepeatedVerdict({ down: 3, up: 9 }).take({ verdict: 'up', detail: 'fine' }).verdict, 'up');
  });

  it('is neither begun nor broken by a test that could not be made', () => {
    const repeated = new RepeatedVerdict({ down: 2, up: 1 });
    const said = ['up', 'down', 'unknown', 'down'].map((verdict) => repeated.take({ verdict: verdict as 'up', detail: '' }).verdict);
    assert.deepEqual(said, ['up', 'up', 'unknown', 'down']);
  });
});

describe('the checks of a module', () => {
  it('report while their group runs, and are back to init after it', async () => {
    const check = new ToldCheck();
    const set = setOf(check, new ToldCheck({ resource: 'custom.window', phase: 'second' }));
    const heard = new Heard();
    await set.start('prim', heard);
    check.say('down');
    await set.stop('prim', heard);
    check.say('down');
    assert.deepEqual(heard.reports, ['custom.door down restart: said so', 'custom.door init restart: not watched in this state']);
  });

  it('become unknown when they are silent for too long, and are heard again', async () => {
    const check = new ToldCheck({ silenceMs: 40 });
    const set = setOf(check);
    const heard = new Heard();
    await set.start('prim', heard);
    check.say('up');
    await delay(120);
    check.say('up');
    await set.stopAll();
    assert.deepEqual(
      heard.reports.map((report) => report.split(' ')[1]),
      ['up', 'unknown', 'up'],
    );
    assert.match(heard.reports[1] ?? '', /no verdict for 0.04 s: the checker hangs/);
  });

  it('hold nothing up when they neither start nor stop', async () => {
    const never = (): Promise<void> => new Promise(ignore);
    const set = setOf(new ToldCheck({ start: never, stop: never }));
    const heard = new Heard();
    await set.start('prim', heard);
    await set.stop('prim', heard);
    assert.match(heard.reports[0] ?? '', /unknown restart: the checker did not start within 50 ms/);
    assert.match(heard.reports[1] ?? '', /init/);
  });

  it('of a class of its own run only while it is enabled, and end with the role', async () => {
    const check = new ToldCheck({ phase: 'class:batch' });
    const set = setOf(check, new ToldCheck({ resource: 'custom.other' }));
    const heard = new Heard();
    await set.start('prim', heard);
    assert.equal(check.starts, 0);
    await set.switchClass('batch', true, heard);
    await set.switchClass('batch', true, heard);
    assert.equal(check.starts, 1);
    await set.switchClass('batch', false, heard);
    assert.equal(check.starts, 0);
    await set.switchClass('batch', true, heard);
    await set.stop('sec', heard);
    assert.equal(check.starts, 1, 'the application goes on when a secondary comes');
    await set.stop('prim', heard);
    assert.equal(check.starts, 0);
    await assert.rejects(set.switchClass('bacth', true, heard), /HF_CHECK_CLASS_UNKNOWN: .*"bacth"; classes: batch/);
  });

  it('with an executable of their own run it, one at a time, and stopstart when it fails', async () => {
    const check = new ToldCheck({ script: 'repair' });
    const set = setOf(check);
    const heard = new Heard();
    let finish: () => void = ignore;
    heard.handler = () => new Promise((resolve) => (finish = resolve));
    await set.start('prim', heard);
    check.say('up');
    check.say('down');
    check.say('down');
    assert.deepEqual(heard.handled, ['repair custom.door']);
    finish();
    await delay(0);
    heard.handler = () => Promise.reject(new HoldfastError('HF_SCRIPT_FAILED', 'repair ended with status 1'));
    check.say('down');
    await delay(0);
    assert.deepEqual(heard.handled, ['repair custom.door', 'repair custom.door']);
    assert.equal(heard.reports.at(-1), 'custom.door down stopstart: said so; HF_SCRIPT_FAILED: repair ended with status 1');
    assert(heard.reports.slice(0, -1).every((report) => report.includes('noaction')));
    await set.stopAll();
  });

  it('with an executable of their own run it in the group of their phase, or of the role that runs', async () => {
    const [own, classed] = [
      new ToldCheck({ script: 'a', phase: 'sec' }),
      new ToldCheck({ script: 'b', phase: 'class:batch', resource: 'proc.b' }),
    ];
    const set = setOf(own, classed);
    const heard = new Heard();
    for (const group of ['both', 'sec', 'second'] as const) await set.start(group, heard);
    await set.switchClass('batch', true, heard);
    for (const check of [own, classed]) check.say('down');
    await set.stop('second', heard);
    await set.start('prim', heard);
    await set.switchClass('batch', true, heard);
    classed.say('down');
    assert.deepEqual(heard.groups, ['sec', 'second', 'prim']);
    await set.stopAll();
  });

  it('have the figures of their last report, as long as they run and are not silent', async () => {
    const book = new ResourceBook();
    const check = new ToldCheck({ silenceMs: 30 });
    const checks = new CheckSet([check], book, log, { patienceMs: 50 });
    const figure = { name: 'fsync', value: 4, unit: 'ms' } as const;
    const say = (...figures: Figure[]): void => check.report({ verdict: 'up', detail: '', figures });
    await checks.start('prim', new Heard());
    say(figure);
    assert.deepEqual(book.list('custom.door')[0]?.figures, [figure]);
    say();
    assert.equal(book.list('custom.door')[0]?.figures, undefined, 'the last report has none');
    say(figure);
    while (book.list('custom.door')[0]?.figures !== undefined) await delay(5);
    say(figure);
    await checks.stop('prim', new Heard());
    assert.equal(book.list('custom.door')[0]?.figures, undefined, 'it is stopped');
  });

  it('take verdicts from outside only where they ask for them, and only while they run', async () => {
    const told: CheckResult[] = [];
    const set = setOf(new ToldCheck({ set: (result) => told.push(result) }), new ToldCheck({ resource: 'tcp.web' }));
    const verdict: CheckResult = { verdict: 'down', detail: 'the door is open' };
    assert.throws(() => set.set('custom.door', verdict), /HF_RESOURCE_NOT_SETTABLE: custom.door is not watched/);
    await set.start('prim', new Heard());
    set.set('custom.door', verdict);
    assert.deepEqual(told, [verdict]);
    assert.throws(() => set.set('tcp.web', verdict), /found out by its checker; can be set: custom.door/);
    assert.throws(() => set.set('nothing', verdict), /no resource of a checker/);
    await set.stopAll();
  });
});
