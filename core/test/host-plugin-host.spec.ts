import assert from 'node:assert/strict';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ExtensionPoint } from '@holdfast/sdk';
import { PLUGIN_ERRORS, type PluginHost } from '../src/host/index.js';
import { CHECKER, type Manifest, PluginYard, pluginCode, states } from './host-fixtures.js';

const FOREVER = 'new Promise(() => {})';

describe('the plug-in host', () => {
  let yard: PluginYard;
  let host: PluginHost | undefined;

  beforeEach(async () => {
    yard = await PluginYard.create();
  });

  afterEach(async () => {
    await host?.stop();
    host = undefined;
    await yard.remove();
  });

  /** Adds a good plug-in and one with this code, starts, and expects only the second to be `failed` with `code`. */
  const fails = async (code: string, source: string, message: RegExp, change: Manifest = {}): Promise<void> => {
    await yard.add('good');
    await yard.add('probe', change, source);
    host = await yard.started();
    assert.deepEqual(states(host), { good: 'started', probe: `failed ${code}` });
    const error = host.describe().find(({ id }) => id === 'probe')?.error ?? '';
    assert.match(error, message);
    assert.ok(error.includes('plug-in "probe"'), error);
    assert.ok(yard.logged.includes(error), 'the error is in the log');
    assert.equal(host.registry.get('checker', 'probe'), undefined);
    assert.ok(host.registry.get('checker', 'good') !== undefined);
  };

  it('loads, registers, starts and stops a plug-in', async () => {
    await yard.add('good');
    host = yard.host();
    await host.load(await yard.discover());
    assert.deepEqual(states(host), { good: 'loaded' });
    await host.start();
    assert.deepEqual(states(host), { good: 'started' });
    assert.deepEqual(host.registry.get('checker', 'good')?.create({} as never), []);
    assert.deepEqual(
      host.registry.list('checker').map(({ type, plugin }) => `${plugin} ${type}`),
      ['good good'],
    );
    assert.equal(host.registry.get('virtualIpDriver', 'good'), undefined);
    await host.stop();
    assert.deepEqual(states(host), { good: 'stopped' });
    assert.deepEqual(yard.events, ['start good', 'stop good']);
    assert.equal(host.registry.get('checker', 'good'), undefined);
  });

  it('gives each plug-in a private state directory of its own, which exists before start', async () => {
    const methods =
      'async start({ stateDirectory, log }) { note(stateDirectory); log.info("hello"); ' +
      'if (!(await import("node:fs")).existsSync(stateDirectory)) throw new Error("absent"); }';
    await yard.add('good', {}, pluginCode('good', methods));
    host = await yard.started();
    const directory = join(yard.root, 'state', 'plugins', 'good');
    assert.deepEqual([states(host), yard.events], [{ good: 'started' }, [directory]]);
    assert.equal((await stat(directory)).mode & 0o777, 0o700);
    assert.ok(yard.logged.includes('hello'));
  });

  it('registers every extension point', async () => {
    const points: Record<ExtensionPoint, string> = {
      heartbeatTransport: '{ open() {} }',
      virtualIpDriver: '{ create() {} }',
      replicationBackend: '{ open() {}, directories() {} }',
      checker: '{ create() {} }',
      witness: '{ create() {} }',
    };
    const contributes = Object.fromEntries(Object.keys(points).map((point) => [point, [{ type: 'x', api: 1 }]]));
    const register = Object.entries(points)
      .map(([point, implementation]) => `context.${point}('x', ${implementation});`)
      .join('');
    await yard.add('all', { contributes }, pluginCode('all', '', register));
    host = await yard.started();
    assert.deepEqual(states(host), { all: 'started' });
    for (const point of Object.keys(points) as ExtensionPoint[]) assert.equal(host.registry.list(point)[0]?.type, 'x');
  });

  it('starts in the order of dependencies and stops in reverse', async () => {
    await yard.add('a', { dependencies: { c: '^1.0.0' } });
    await yard.add('b');
    await yard.add('c');
    host = await yard.started();
    await host.stop();
    assert.deepEqual(yard.events, ['start c', 'start a', 'start b', 'stop b', 'stop a', 'stop c']);
  });

  it('shows refused plug-ins with their reason', async () => {
    await yard.add('probe', { engines: { sdk: '^9.0.0' } });
    host = await yard.started();
    assert.deepEqual(states(host), { probe: 'refused HF_PLUGIN_SDK' });
    assert.match(yard.logged.join('\n'), /wants sdk \^9\.0\.0/);
  });

  it('describes how long a start took', async () => {
    await yard.add('good', {}, pluginCode('good', 'start: () => new Promise((resolve) => setTimeout(resolve, 60)),'));
    host = await yard.started();
    const [description] = host.describe();
    assert.ok((description?.startMs ?? 0) >= 50, JSON.stringify(description));
    assert.deepEqual({ ...description, startMs: 0 }, { id: 'good', version: '1.0.0', state: 'started', startMs: 0 });
  });

  it('goes on without a plug-in that cannot be imported', async () => {
    await fails('HF_PLUGIN_LOAD', 'throw new Error("broken at import");', /cannot be imported .*broken at import/);
  });

  it('goes on without a plug-in whose source is not JavaScript', async () => {
    await fails('HF_PLUGIN_LOAD', 'export const plugin = {', /cannot be imported/);
  });

  it('goes on without a plug-in whose import does not end', async () => {
    await fails('HF_PLUGIN_LOAD', `await ${FOREVER};`, /did not finish within 100 ms/, { budgets: { startMs: 100 } });
  });

  it('demands the named export plugin with the methods of the contract', async () => {
    await fails(
      'HF_PLUGIN_EXPORT',
      'export const plugins = {}; export const other = 1;',
      /no export named plugin; its module exports other, plugins/,
    );
  });

  for (const [what, source] of [
    ['no register', 'export const plugin = {};'],
    ['a plugin of null', 'export const plugin = null;'],
    ['a start that is no method', 'export const plugin = { register() {}, start: 1 };'],
  ] as const) {
    it(`refuses ${what}`, () => fails('HF_PLUGIN_EXPORT', source, /plugin/));
  }

  it('refuses a type that the manifest does not declare, even when the plug-in hides the error', async () => {
    const register = `${CHECKER} try { context.checker('other', { create() {} }); } catch {}`;
    await fails(
      'HF_PLUGIN_REGISTER_UNDECLARED',
      pluginCode('probe', '', register),
      /registers checker "other", but its plugin\.json declares probe/,
    );
  });

  it('refuses a point that the manifest does not declare', async () => {
    const register = "context.virtualIpDriver('probe', { create() {} });";
    await fails('HF_PLUGIN_REGISTER_UNDECLARED', pluginCode('probe', '', register), /declares no type there/);
  });

  it('demands every type that the manifest declares', async () => {
    await fails('HF_PLUGIN_REGISTER_MISSING', pluginCode('probe', '', ''), /declares checker "probe" .*does not register it/);
  });

  it('refuses an implementation without the methods of its contract', async () => {
    await fails('HF_PLUGIN_IMPLEMENTATION', pluginCode('probe', '', "context.checker('probe', {});"), /without the method create/);
  });

  it('refuses a register that throws', async () => {
    await fails('HF_PLUGIN_REGISTER', pluginCode('probe', '', 'throw new Error("no");'), /failed to register: no/);
  });

  it('refuses an asynchronous register', async () => {
    const source =
      "export const plugin = { async register(context) { context.checker('probe', { create() {} }); throw new Error('late'); } };";
    await fails('HF_PLUGIN_REGISTER', source, /asynchronous/);
  });

  it('refuses the same type twice', async () => {
    await fails('HF_PLUGIN_REGISTER', pluginCode('probe', '', CHECKER + CHECKER.replace('CHECK', 'probe')), /"probe" twice/);
  });

  it('accepts no registration after register returned', async () => {
    const source = `let kept; export const plugin = {
      register(context) { kept = context; context.checker('probe', { create() {} }); },
      async start() { kept.checker('probe', { create() {} }); } };`;
    await fails('HF_PLUGIN_START', source, /after its register method returned/);
  });

  it('names a plug-in that throws in start, and stops it', async () => {
    const methods = "async start() { throw new Error('no bus'); }, async stop() { note('stop probe'); }";
    await fails('HF_PLUGIN_START', pluginCode('probe', methods), /failed to start: no bus/);
    assert.deepEqual(yard.events, ['start good', 'stop probe']);
  });

  it('names a plug-in that throws in start without a promise', async () => {
    await fails('HF_PLUGIN_START', pluginCode('probe', "start() { throw new Error('at once'); }"), /at once/);
  });

  it('names a plug-in that hangs in start, aborts its signal and stops it', async () => {
    const methods = `start(context, signal) { signal.onabort = () => note('aborted'); return ${FOREVER}; },
      async stop() { note('stop probe'); }`;
    await fails('HF_PLUGIN_START_TIMEOUT', pluginCode('probe', methods), /did not start within 80 ms/, { budgets: { startMs: 80 } });
    assert.deepEqual(yard.events, ['start good', 'aborted', 'stop probe']);
  });

  it('drops what a start that is too late answers', async () => {
    const methods = `start(context, signal) { return new Promise((_, reject) => { signal.onabort = () => reject(new Error('late')); }); }`;
    await fails('HF_PLUGIN_START_TIMEOUT', pluginCode('probe', methods), /within 50 ms/, { budgets: { startMs: 50 } });
  });

  it('does not start what needs a plug-in that failed', async () => {
    await yard.add('base', {}, pluginCode('base', "async start() { throw new Error('down'); }"));
    await yard.add('upper', { dependencies: { base: '^1.0.0' } });
    host = await yard.started();
    assert.deepEqual(states(host), { base: 'failed HF_PLUGIN_START', upper: 'failed HF_PLUGIN_DEPENDENCY' });
    assert.deepEqual(yard.events, ['stop upper']);
  });

  it('names a plug-in that hangs in stop, and stops the others', async () => {
    await yard.add('a');
    await yard.add('b', { budgets: { stopMs: 60 } }, pluginCode('b', `async start() {}, stop() { return ${FOREVER}; }`));
    await yard.add('c', {}, pluginCode('c', "async start() {}, stop() { throw new Error('stuck'); }"));
    host = await yard.started();
    await host.stop();
    assert.deepEqual(states(host), { a: 'stopped', b: 'failed HF_PLUGIN_STOP_TIMEOUT', c: 'failed HF_PLUGIN_STOP' });
    assert.match(yard.logged.join('\n'), /plug-in "b" did not stop within 60 ms/);
    assert.deepEqual(yard.events, ['start a', 'stop a']);
  });

  it('stops once, also when asked twice', async () => {
    await yard.add('good');
    host = await yard.started();
    await Promise.all([host.stop(), host.stop()]);
    await host.stop();
    assert.deepEqual(yard.events, ['start good', 'stop good']);
  });

  it('interrupts a start that is under way when asked to stop', async () => {
    await yard.add(
      'slow',
      { budgets: { startMs: 60_000 } },
      pluginCode('slow', `start() { note('began'); return ${FOREVER}; }, async stop() { note('stop slow'); }`),
    );
    await yard.add('zero');
    host = yard.host();
    await host.load(await yard.discover());
    const starting = host.start();
    await yard.until('began');
    await host.stop();
    await starting;
    assert.deepEqual(states(host), { slow: 'failed HF_PLUGIN_START', zero: 'stopped' });
    assert.deepEqual(yard.events, ['began', 'stop slow', 'stop zero']);
  });

  it('serves no element of a plug-in that failed', async () => {
    const serves = (element: string): Manifest => ({
      contributes: { checker: [{ type: element, api: 1, configuration: { element, parent: 'check', schema: 's.json' } }] },
    });
    const files = { 's.json': '{"type":"object","properties":{},"additionalProperties":false}' };
    await yard.add('good', serves('good'), pluginCode('good'), files);
    await yard.add('probe', serves('probe'), 'throw 1;', files);
    host = await yard.started();
    assert.deepEqual(
      host.elements().map(({ element }) => element),
      ['good'],
    );
  });

  describe('reconfiguration', () => {
    const reconfigure = async (method: string, change: Manifest = {}): Promise<PluginHost> => {
      await yard.add('probe', change, pluginCode('probe', method));
      host = await yard.started();
      return host;
    };

    it('hands new values to the plug-in, and keeps them once they are applied', async () => {
      const running = await reconfigure("async reconfigure({ stateDirectory }) { note(stateDirectory); return 'applied'; }");
      assert.equal(await running.reconfigure('probe', { stateDirectory: '/elsewhere' }), 'applied');
      assert.equal(await running.reconfigure('probe', {}), 'applied');
      assert.deepEqual(yard.events, ['/elsewhere', '/elsewhere']);
    });

    it('answers restart for a plug-in that cannot', async () => {
      assert.equal(await (await reconfigure('')).reconfigure('probe', {}), 'restart');
    });

    it('keeps the old values when the plug-in refuses, hangs or answers nonsense', async () => {
      const running = await reconfigure(
        `reconfigure({ stateDirectory }) { note(stateDirectory); if (stateDirectory === 'bad') throw new Error('refused');
         if (stateDirectory === 'slow') return ${FOREVER}; return Promise.resolve('perhaps'); }`,
        { budgets: { startMs: 50 } },
      );
      await assert.rejects(
        running.reconfigure('probe', { stateDirectory: 'bad' }),
        /HF_PLUGIN_RECONFIGURE: plug-in "probe" keeps its old context: refused/,
      );
      await assert.rejects(running.reconfigure('probe', { stateDirectory: 'slow' }), /no answer within 50 ms/);
      await assert.rejects(running.reconfigure('probe', {}), /answered "perhaps"/);
      assert.equal(yard.events.at(-1), join(yard.root, 'state', 'plugins', 'probe'));
      assert.deepEqual(states(running), { probe: 'started' });
    });

    it('is refused for a plug-in that is not started or not known', async () => {
      const running = await reconfigure("async start() { throw new Error('x'); }");
      await assert.rejects(running.reconfigure('probe', {}), { code: 'HF_PLUGIN_STATE' });
      await assert.rejects(running.reconfigure('nobody', {}), { code: 'HF_PLUGIN_STATE' });
    });
  });

  it('explains every code of its catalogue in a sentence', () => {
    for (const [code, text] of Object.entries(PLUGIN_ERRORS)) {
      assert.match(code, /^HF_PLUGIN_[A-Z_]+$/);
      assert.match(text, /^[A-Z].*\.$/);
    }
  });
});
