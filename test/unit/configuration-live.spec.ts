/** Another configuration for modules that run, on two agents with the real plug-ins: what goes on undisturbed, and what is taken. */
import assert from 'node:assert/strict';
import { randomBytes, randomInt } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Client, createClient, runAgent, type RunningAgent } from '@holdfast/core';
import { waitFor } from '../lab/deadline.js';

const PLUGINS = fileURLToPath(new URL('../../../plugins', import.meta.url));
const WAIT_MS = 20_000;

interface Variant {
  readonly heart?: string;
  readonly service?: string;
  readonly checks?: string;
  readonly rules?: string;
  /** Value of a variable; empty: the variable is not there. */
  readonly word?: string;
}

const WATCHED = '<custom ident="kept" when="prim" exec="watch" action="noaction"/>';

class Node {
  agent: RunningAgent | undefined;
  private connected: Client | undefined;
  silencesAtFirst = 0;
  readonly config: string;
  readonly state: string;

  constructor(
    readonly name: string,
    folder: string,
  ) {
    this.config = join(folder, name, 'etc');
    this.state = join(folder, name, 'var');
    mkdirSync(this.config, { recursive: true });
  }

  async start(): Promise<void> {
    this.agent = await runAgent({
      configDirectory: this.config,
      stateDirectory: this.state,
      pluginDirectories: [PLUGINS],
      listen: { host: '127.0.0.1', port: 0 },
      logLevel: 'silent',
    });
    const token = readFileSync(join(this.config, 'api.token'), 'utf8').trim();
    this.connected = createClient({ baseUrl: `http://127.0.0.1:${this.agent.port}`, token });
  }

  get client(): Client {
    assert.ok(this.connected !== undefined);
    return this.connected;
  }

  async phase(): Promise<string> {
    const { phase, quality } = await this.client.module('probe');
    return `${phase} ${quality}`;
  }

  /** How often its peer was not heard. */
  async silences(): Promise<number> {
    return (await this.client.log('probe', { limit: 1000 })).filter(({ text }) => text === 'heartbeat.default is down').length;
  }

  read(name: string): string {
    const path = join(this.state, 'modules', 'probe', 'var', name);
    return existsSync(path) ? readFileSync(path, 'utf8') : '';
  }

  edit({ heart = '', service = '', checks = WATCHED, rules = '', word = 'one' }: Variant): void {
    writeModule(join(this.config, 'modules', 'probe'), { heart, service, checks, rules, word });
  }
}

function writeModule(folder: string, { heart, service, checks, rules, word }: Required<Variant>): void {
  const script = (name: string, text: string): void => {
    writeFileSync(join(folder, 'bin', name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  };
  mkdirSync(join(folder, 'bin'), { recursive: true });
  mkdirSync(join(folder, 'conf'), { recursive: true });
  writeFileSync(join(folder, 'module.json'), '{"id":"probe","title":"Probe","version":"1.0.0"}');
  writeFileSync(
    join(folder, 'conf', 'userconfig.xml'),
    `<safe>\n<service mode="mirror"${service}>\n<heart${heart}><heartbeat name="default"/></heart>\n` +
      `<user>${word === '' ? '' : `<var name="WORD" value="${word}"/>`}</user>\n<check>${checks}</check>\n${rules}</service>\n</safe>\n`,
  );
  script('start_prim', 'echo started >>"$SAFEUSERVAR/starts"');
  script('stop_prim', 'exit 0');
  script('update', 'echo "$1 ${WORD-without}" >>"$SAFEUSERVAR/updates"');
  script('watch', 'echo $$ >>"$SAFEUSERVAR/watches"\nexec sleep 1000');
}

describe('another configuration for modules that run', function () {
  this.timeout(60_000);
  let folder: string;
  let n1: Node;
  let n2: Node;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'holdfast-live-'));
    const base = `127.${randomInt(20, 250)}.${randomInt(1, 250)}`;
    const key = randomBytes(32).toString('hex');
    [n1, n2] = [new Node('n1', folder), new Node('n2', folder)];
    for (const node of [n1, n2]) {
      const nodes = `<node name="n1" addr="${base}.1"/><node name="n2" addr="${base}.2"/>`;
      writeFileSync(join(node.config, 'cluster.xml'), `<cluster><lans><lan name="default">${nodes}</lan></lans></cluster>`);
      writeFileSync(join(node.config, 'node.json'), JSON.stringify({ node: node.name }));
      writeFileSync(join(node.config, 'cluster.key'), key);
      writeModule(join(folder, 'module'), { heart: '', service: '', checks: WATCHED, rules: '', word: 'one' });
      await node.start();
      await node.client.install(join(folder, 'module'), {});
    }
    assert.equal((await n1.client.configure('probe', {})).peer?.outcome, 'applied');
    await n1.client.command('probe', 'prim', {});
    await n2.client.command('probe', 'start', {});
    await waitFor('a pair', WAIT_MS, async () => (await n1.phase()) === 'PRIM Ready' && (await n2.phase()) === 'SECOND Ready');
    await waitFor('the watched script', WAIT_MS, () => n1.read('watches') !== '');
    for (const node of [n1, n2]) node.silencesAtFirst = await node.silences();
  });
  after(async () => {
    for (const node of [n1, n2]) await node.agent?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const undisturbed = async (): Promise<void> => {
    assert.deepEqual([await n1.phase(), await n2.phase()], ['PRIM Ready', 'SECOND Ready']);
    assert.equal(n1.read('starts'), 'started\n');
    for (const node of [n1, n2]) assert.equal(await node.silences(), node.silencesAtFirst);
  };

  it('takes another pulse and a longer timeout without losing the other node', async () => {
    n1.edit({ heart: ' pulse="50" timeout="4s"' });
    const { live, changes } = await n1.client.configure('probe', {});
    assert.equal(live, true);
    assert.deepEqual(
      changes.map(({ attribute }) => attribute),
      ['pulse', 'timeout'],
    );
    // Longer than both timeouts: a session that was not opened again would be missed by now.
    const endMs = performance.now() + 5_000;
    await waitFor('longer than the timeout', WAIT_MS, async () => {
      await undisturbed();
      return performance.now() > endMs;
    });
  });

  it('watches on undisturbed what has not changed, beside what is new, and forgets what is gone', async () => {
    const before = n1.read('watches');
    const port = n1.agent?.port ?? 0;
    const tcp = `<tcp ident="api" when="prim" action="restart"><to addr="127.0.0.1" port="${port}" interval="1s"/></tcp>`;
    n1.edit({ heart: ' pulse="50" timeout="4s"', checks: `${tcp}${WATCHED}` });
    await n1.client.configure('probe', {});
    const value = async (name: string): Promise<string | undefined> =>
      (await n1.client.resources('probe')).find((resource) => resource.name === name)?.value;
    await waitFor('the new check', WAIT_MS, async () => (await value('tcp.api')) === 'up');
    n1.edit({ heart: ' pulse="50" timeout="4s"' });
    await n1.client.configure('probe', {});
    assert.equal(await value('tcp.api'), undefined);
    assert.equal(n1.read('watches'), before);
    await undisturbed();
  });

  it('begins a check anew whose script has changed', async () => {
    const before = n1.read('watches');
    writeFileSync(
      join(n1.config, 'modules', 'probe', 'bin', 'watch'),
      '#!/bin/sh\necho again >>"$SAFEUSERVAR/watches"\nexec sleep 1000\n',
      { mode: 0o755 },
    );
    await n1.client.configure('probe', {});
    await waitFor('the new script', WAIT_MS, () => n1.read('watches') === `${before}again\n`);
    await undisturbed();
  });

  it('calls bin/update with the new variables', async () => {
    n1.edit({ heart: ' pulse="50" timeout="4s"', word: 'two', service: ' maxloop="9"' });
    await n1.client.configure('probe', {});
    await waitFor('the call', WAIT_MS, () => n1.read('updates').endsWith('PRIM two\n') && n2.read('updates').endsWith('SECOND two\n'));
    assert.equal((await n2.client.module('probe')).maxloop.max, 9);
    await undisturbed();
  });

  it('calls it without a variable that was removed', async () => {
    n1.edit({ heart: ' pulse="50" timeout="4s"', word: '', service: ' maxloop="9"' });
    await n1.client.configure('probe', {});
    await waitFor(
      'the call',
      WAIT_MS,
      () => n1.read('updates').endsWith('PRIM without\n') && n2.read('updates').endsWith('SECOND without\n'),
    );
    await undisturbed();
  });

  it('takes other failover rules on both nodes, and looks at them anew with what is known', async () => {
    const rules = (text: string): Variant => ({
      heart: ' pulse="50" timeout="4s"',
      word: 'two',
      service: ' maxloop="9"',
      rules: `<failover period="200ms" handle_time="600ms">\n${text}\n</failover>\n`,
    });
    const take = async (text: string): Promise<void> => {
      n1.edit(rules(text));
      const { live, peer } = await n1.client.configure('probe', {});
      assert.deepEqual([live, peer?.outcome], [true, 'applied']);
    };
    const ruleOf = async (node: Node): Promise<string | undefined> => (await node.client.module('probe')).rule?.label;
    const waitForRules = (here: string | undefined, there: string | undefined): Promise<unknown> =>
      waitFor(
        `the rules ${here ?? 'none'} and ${there ?? 'none'}`,
        WAIT_MS,
        async () => (await ruleOf(n1)) === here && (await ruleOf(n2)) === there,
      );

    await take('gone: if (custom.kept == down) then noaction();');
    await n1.client.setResource('probe', { resource: 'custom.kept', value: 'down' });
    await waitForRules('gone', undefined);
    await take('there: if (remote.custom.kept == down) then noaction();');
    await waitForRules(undefined, 'there');

    const before = (await n1.client.configurations.view('probe')).applied?.digest;
    n1.edit(rules('here: if (custom.kept == down) then noaction();\nbad: if (custom.kept == dwn) then stop();'));
    await assert.rejects(n1.client.configure('probe', {}), { message: /userconfig\.xml:8:25: .*state "dwn" is unknown.*down/ });
    for (const node of [n1, n2]) {
      const view = await node.client.configurations.view('probe');
      assert.deepEqual([view.applied?.digest, view.undecided], [before, undefined]);
    }
    await waitForRules(undefined, 'there');

    await take('act: if (custom.kept == down) then restart();');
    await waitFor('the restart', WAIT_MS, () => n1.read('starts') === 'started\nstarted\n');
    await waitFor('the reason', WAIT_MS, async () => (await n1.client.module('probe')).reason.text.includes('failover rule act holds'));
    await n1.client.setResource('probe', { resource: 'custom.kept', value: 'up' }).catch(() => undefined);

    n1.edit({ heart: ' pulse="50" timeout="4s"', word: 'two', service: ' maxloop="9"' });
    assert.equal((await n1.client.configure('probe', {})).live, true);
    await waitForRules(undefined, undefined);
    assert.deepEqual([await n1.phase(), await n2.phase()], ['PRIM Ready', 'SECOND Ready']);
  });

  it('refuses the whole of it when one thing needs a stop, on whichever node that is', async () => {
    const before = (await n1.client.configurations.view('probe')).applied?.digest;
    n1.edit({ heart: ' pulse="50" timeout="4s" port="9999"', service: ' maxloop="4"' });
    await assert.rejects(n1.client.configure('probe', {}), {
      code: 'HF_CONFIG_STOP_NEEDED',
      message: /port of <heart>: 8888 -> 9999, line 3: stop the module on both nodes/,
    });
    await n2.client.command('probe', 'stop', {});
    await waitFor('n2 to be stopped', WAIT_MS, async () => (await n2.phase()) === 'STOP NotReady');
    await assert.rejects(n1.client.configure('probe', {}), { code: 'HF_CONFIG_STOP_NEEDED' });
    n2.edit({ heart: ' pulse="50" timeout="4s" port="9999"' });
    await assert.rejects(n2.client.configure('probe', {}), { code: 'HF_CONFIG_STOP_NEEDED', message: /probe runs on n1/ });
    for (const node of [n1, n2]) {
      const view = await node.client.configurations.view('probe');
      assert.deepEqual([view.applied?.digest, view.undecided], [before, undefined]);
    }
    assert.equal((await n1.client.module('probe')).maxloop.max, 9);
  });

  it('says what is wrong with broken files, and changes nothing', async () => {
    const file = join(n1.config, 'modules', 'probe', 'conf', 'userconfig.xml');
    writeFileSync(file, '<safe><service mode="mirror"');
    await assert.rejects(n1.client.configure('probe', {}), { code: /^HF_CONFIG_/, message: /userconfig\.xml:1:/ });
    n1.edit({ heart: ' pulse="50" timeout="4s"' });
    writeFileSync(join(n1.config, 'modules', 'probe', 'bin', 'stop_prim'), '');
    await assert.rejects(n1.client.configure('probe', {}), { code: 'HF_CONFIG_SCRIPT_EMPTY', message: /bin\/stop_prim is empty/ });
    rmSync(join(n1.config, 'modules', 'probe', 'bin', 'stop_prim'));
    await assert.rejects(n1.client.configure('probe', {}), { code: 'HF_CONFIG_STOP_NEEDED', message: /bin\/stop_prim removed/ });
    writeFileSync(join(n1.config, 'modules', 'probe', 'bin', 'stop_prim'), '#!/bin/sh\n', { mode: 0o755 });
    writeFileSync(join(n1.config, 'modules', 'probe', 'bin', 'confcheck'), '#!/bin/sh\necho the port is taken\nexit 1\n', { mode: 0o755 });
    await assert.rejects(n1.client.configure('probe', {}), { code: 'HF_CONFIG_HOOK', message: /the port is taken/ });
    assert.equal((await n1.client.module('probe')).maxloop.max, 9);
  });

  it('is taken away only from a stopped module, and comes back', async () => {
    await assert.rejects(n1.client.configurations.deconfigure('probe'), { code: 'HF_MODULE_RUNNING' });
    await n1.client.command('probe', 'stop', {});
    await waitFor('n1 to be stopped', WAIT_MS, async () => (await n1.phase()) === 'STOP NotReady');
    await n1.client.configurations.deconfigure('probe');
    assert.equal((await n1.client.configurations.view('probe')).state, 'not configured');
    assert.equal((await n1.client.module('probe')).phase, 'NOT CONFIGURED');
    await n1.agent?.close();
    await n1.start();
    assert.equal((await n1.client.module('probe')).phase, 'NOT CONFIGURED');
    assert.equal((await n1.client.configurations.rollback('probe', { local: true })).outcome, 'applied');
    assert.equal((await n1.client.module('probe')).maxloop.max, 9);
  });
});
