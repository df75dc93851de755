/** The element as operators write it, the verdicts on numbers, lines of /proc, and the manifest. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { ElementValue, PluginManifest } from '@holdfast/sdk';
import fc from 'fast-check';
import { readWatchedProcesses } from '../src/configuration.js';
import { parseStat, ProcessTable, readProcess } from '../src/process-table.js';
import { judge } from '../src/verdict.js';

function proc(...processes: readonly ElementValue[]): ElementValue {
  return { proc: processes };
}

describe('errd', () => {
  it('gives one resource per proc, with unique names and the defaults of the reference', () => {
    const watched = readWatchedProcesses({
      polltimer: 5000,
      proc: [
        { name: 'postgres' },
        { name: 'postgres', class: 'second', action: 'noaction', atleast: 2, atmax: 9, start_after: 3 },
        { nameregex: '^post' },
        { argregex: 'server\\.jar', atleast: -1, atmax: 0 },
      ],
    });
    assert.deepEqual(watched, [
      {
        resource: 'proc.postgres',
        criteria: { name: 'postgres' },
        phase: 'prim',
        action: 'stopstart',
        startAfterMs: 0,
        atLeast: 1,
        atMost: undefined,
        pollIntervalMs: 5000,
      },
      {
        resource: 'proc.postgres#2',
        criteria: { name: 'postgres' },
        phase: 'second',
        action: 'noaction',
        startAfterMs: 10_000,
        atLeast: 2,
        atMost: 9,
        pollIntervalMs: 5000,
      },
      {
        resource: 'proc.^post',
        criteria: { nameRegex: '^post' },
        phase: 'prim',
        action: 'stopstart',
        startAfterMs: 0,
        atLeast: 1,
        atMost: undefined,
        pollIntervalMs: 5000,
      },
      {
        resource: 'proc.server\\.jar',
        criteria: { argumentsRegex: 'server\\.jar' },
        phase: 'prim',
        action: 'stopstart',
        startAfterMs: 0,
        atLeast: undefined,
        atMost: 0,
        pollIntervalMs: 5000,
      },
    ]);
    assert.deepEqual(readWatchedProcesses({}), []);
  });

  it('has classes of its own, and executables for actions', () => {
    const [watched] = readWatchedProcesses(proc({ name: 'nightly', class: 'batch', action: 'repair' }));
    assert.deepEqual([watched?.phase, watched?.action, watched?.script], ['class:batch', 'stopstart', 'repair']);
    const [plain] = readWatchedProcesses(proc({ name: 'nightly', action: 'stop' }));
    assert.deepEqual([plain?.phase, plain?.action, plain?.script], ['prim', 'stop', undefined]);
  });

  it('says which proc it refuses', () => {
    try {
      readWatchedProcesses(proc({ name: 'a' }, { name: 'b', atleast: 3, atmax: 2 }));
      assert.fail('accepted');
    } catch (error) {
      assert.equal((error as { details: { pointer: string } }).details.pointer, '/proc/1');
    }
  });

  it('is refused by the attribute that is wrong', () => {
    const refused: readonly (readonly [ElementValue, RegExp])[] = [
      [proc({}), /HF_ERRD_CRITERION_MISSING/],
      [proc({ argregex: 'x', service: true }), /HF_ERRD_SERVICE_NAME: .*needs name/],
      [proc({ name: '../sshd', service: true }), /HF_ERRD_SERVICE_NAME: .*"\.\.\/sshd"/],
      [proc({ name: 'sshd', nameregex: 's', service: true }), /HF_ERRD_SERVICE_EXPRESSION: nameregex of proc "sshd"/],
      [proc({ name: 'sshd', restart_services: 'a, b' }), /HF_ERRD_RESTART_SERVICES: .*needs service="on"/],
      [proc({ name: 'sshd', service: true, action: 'stop', restart_services: 'a' }), /HF_ERRD_RESTART_SERVICES: .*action="restart"/],
      [proc({ name: 'sshd', service: true, action: 'restart', restart_services: 'a,,b' }), /HF_ERRD_RESTART_SERVICES: .*with ""/],
      [proc({ name: 'a-name-of-16-byte' }), /HF_ERRD_NAME_TOO_LONG: .*15 bytes/],
      [proc({ nameregex: 'a**' }), /HF_ERRD_REGEX_INVALID: nameregex="a\*\*"/],
      [proc({ argregex: '\\d+' }), /HF_ERRD_REGEX_INVALID: argregex="\\d\+".*character 2/],
      [proc({ name: 'postgres', atleast: 3, atmax: 2 }), /HF_ERRD_LIMITS/],
    ];
    for (const [configuration, message] of refused) assert.throws(() => readWatchedProcesses(configuration), message);
  });
});

describe('verdict', () => {
  const atLeastTwo = { atLeast: 2, atMost: undefined };

  it('gives an application two scans to appear, but not to disappear', () => {
    const one = { count: 1, pids: [7], scans: 2 };
    assert.deepEqual(judge(atLeastTwo, one, false), { verdict: 'unknown', detail: '1 of 2 processes (pid 7), may still be starting' });
    assert.deepEqual(judge(atLeastTwo, one, true), { verdict: 'down', detail: '1 of 2 processes (pid 7)' });
    assert.equal(judge(atLeastTwo, { ...one, scans: 3 }, false).verdict, 'down');
    assert.deepEqual(judge(atLeastTwo, { count: 3, pids: [7, 8], scans: 1 }, true), { verdict: 'up', detail: '3 processes (pid 7, 8, …)' });
  });

  it('does not wait when there are too many', () => {
    const none = { atLeast: undefined, atMost: 0 };
    assert.deepEqual(judge(none, { count: 1, pids: [7], scans: 1 }, true), {
      verdict: 'down',
      detail: '1 process, at most 0 allowed (pid 7)',
    });
    assert.deepEqual(judge(none, { count: 0, pids: [], scans: 1 }, true), { verdict: 'up', detail: '0 processes' });
  });
});

describe('process table', () => {
  it('reads names with any characters in them, and takes zombies for dead', () => {
    const rest = `S ${Array.from({ length: 18 }, (_, index) => index).join(' ')} 4711 0 0`;
    assert.deepEqual(parseStat(`12 (a) (b c)) ${rest}`), { name: 'a) (b c)', parentPid: 0, startTime: 4711 });
    assert.equal(parseStat(`12 (a) ${rest.replace('S', 'Z')}`), undefined);
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 15 }), (name) => assert.equal(parseStat(`12 (${name}) ${rest}`)?.name, name)),
    );
    fc.assert(fc.property(fc.string(), (garbage) => void parseStat(garbage)));
  });

  it('keeps a process that did not change as the same object, and never lists the agent itself', () => {
    const table = new ProcessTable();
    const first = table.scan(0, new Set(), true).find(({ pid }) => pid === process.ppid);
    const again = table.scan(1000, new Set([process.ppid]), true).find(({ pid }) => pid === process.ppid);
    assert(first !== undefined);
    assert.equal(again, first);
    assert.equal(readProcess(process.ppid, false)?.startTime, first.startTime);
    assert.equal(
      table.scan(2000, new Set(), true).find(({ pid }) => pid === process.pid),
      undefined,
    );
  });
});

describe('plugin.json of checker-errd', () => {
  it('declares the checker that the plug-in registers, and a schema that is there', () => {
    const root = new URL('../../', import.meta.url);
    const manifest = JSON.parse(readFileSync(new URL('plugin.json', root), 'utf8')) as PluginManifest;
    const [checker] = manifest.contributes.checker ?? [];
    assert.equal(checker?.type, 'errd');
    assert.deepEqual([checker.configuration?.element, checker.configuration?.parent], ['errd', 'service']);
    const schema: unknown = JSON.parse(readFileSync(new URL(checker.configuration?.schema ?? '', root), 'utf8'));
    assert.equal((schema as { additionalProperties: boolean }).additionalProperties, false);
  });
});
