/**
 * The application modules of the catalogue, run by hand in the lab on a plain directory: their scripts start and stop the real application
 * in every state that they can find it in, and the workload clients of the lab notice what is lost and when the service is away.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { appendFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { type CommandResult, Lab, type LabMachine, monotonicMs, type RunningCommand, waitFor, WorkloadClient } from '../lab/index.js';
import { sendSignal } from '../lab/host-process.js';

const CATALOGUE = fileURLToPath(new URL('../../../modules-catalog', import.meta.url));
const VIRTUAL_IP = '10.50.1.100';
const WORK_FOLDER = '/var/lib/holdfast/module';
const DEADLINE_MS = 10_000;

/** The variables that the module's own configuration gives its scripts, macros replaced. */
function scriptVariables(module: string, macros: Readonly<Record<string, string>>): Record<string, string> {
  const xml = readFileSync(`${CATALOGUE}/${module}/conf/userconfig.xml`, 'utf8');
  const values = new Map([...xml.matchAll(/<macro name="(\w+)" value="([^"]*)"/g)].map(([, name = '', value = '']) => [name, value]));
  for (const [name, value] of Object.entries(macros)) values.set(name, value);
  const variables = [...xml.matchAll(/<var name="(\w+)" value="([^"]*)"/g)];
  return Object.fromEntries(
    variables.map(([, name = '', value = '']) => [name, value.replace(/%(\w+)%/g, (_, macro: string) => values.get(macro) ?? '')]),
  );
}

/** Runs the scripts of one module on one node as the platform does. */
class ModuleOnNode {
  readonly #node: LabMachine;
  readonly #bin: string;
  readonly #env: Record<string, string>;

  constructor(node: LabMachine, module: string, macros: Readonly<Record<string, string>> = {}) {
    this.#node = node;
    this.#bin = `${CATALOGUE}/${module}/bin`;
    this.#env = { SAFEMODULE: module, SAFEUSERBIN: this.#bin, SAFEUSERVAR: WORK_FOLDER, ...scriptVariables(module, macros) };
  }

  async run(script: string, ...args: string[]): Promise<CommandResult> {
    return this.#node.exec([`${this.#bin}/${script}`, ...args], { env: this.#env });
  }

  async succeed(script: string, ...args: string[]): Promise<void> {
    const result = await this.run(script, ...args);
    assert.equal(result.code, 0, `${script}: ${result.stdout}${result.stderr}`);
  }

  start(): Promise<void> {
    return this.succeed('start_prim', 'WAIT', 'ALONE', 'start');
  }

  stop(): Promise<void> {
    return this.succeed('stop_prim', 'ALONE', 'WAIT', 'stop');
  }

  forceStop(): Promise<void> {
    return this.succeed('stop_prim', 'force', 'ALONE', 'WAIT', 'stop');
  }
}

describe('application modules', function () {
  this.timeout(30_000);
  let lab: Lab;
  let node: LabMachine;

  const names = (): string[] => node.pids().map(({ name }) => name);
  const kill = async (victim: string): Promise<void> => {
    for (const { hostPid, name } of node.pids()) if (name === victim) sendSignal(hostPid, 'SIGKILL');
    await waitFor(`${victim} to die`, DEADLINE_MS, () => !names().includes(victim));
  };

  /** A program that has nothing to do with the module, and its number in the node. */
  async function startOther(): Promise<{ other: RunningCommand; number: number }> {
    const other = node.spawn(['sleep', '1000']);
    const find = (): number | undefined => node.pids().find(({ command }) => command === 'sleep 1000')?.pid;
    return { other, number: await waitFor('the other program', DEADLINE_MS, find) };
  }

  before(async () => {
    lab = await Lab.create({ nodes: ['n1'] });
    node = lab.node('n1');
    await node.run(['mkdir', '-p', '-m', '700', WORK_FOLDER, '/srv/ledger']);
    await node.run(['mkdir', '-p', '/srv/pgdata']);
    await node.run(['ip', 'addr', 'add', `${VIRTUAL_IP}/32`, 'dev', 'eth0']);
  });
  after(() => lab.close());
  afterEach(async () => {
    await kill('ledger');
    await kill('postgres');
  });

  for (const id of ['ledger-mirror', 'postgresql-mirror']) {
    it(`${id} describes itself`, () => {
      const manifest = JSON.parse(readFileSync(`${CATALOGUE}/${id}/module.json`, 'utf8')) as Record<string, unknown>;
      assert.deepEqual([manifest['id'], manifest['manifestVersion'], manifest['architecture']], [id, 1, 'mirror']);
      assert.ok(Array.isArray(manifest['outOfScope']));
    });
  }

  describe('ledger-mirror', () => {
    let module: ModuleOnNode;
    const file = '/srv/ledger/ledger.log';
    const curl = (...args: string[]): Promise<string> => lab.client.run(['curl', '-s', '--max-time', '5', ...args]);
    const url = `http://${VIRTUAL_IP}:8080`;
    const append = async (text: string): Promise<unknown> => JSON.parse(await curl('--data-binary', text, `${url}/append`));

    before(() => {
      module = new ModuleOnNode(node, 'ledger-mirror', { NODE: process.execPath });
    });
    afterEach(() => module.forceStop());

    it('starts, appends, and finds its entries again after stop, SIGKILL and forced stop', async () => {
      await module.succeed('prestart', 'STOP', 'WAIT', 'start');
      await module.start();
      await module.start();
      assert.deepEqual(names(), ['ledger']);
      assert.deepEqual(await append('first'), { sequence: 1, node: 'n1' });
      await module.stop();
      assert.deepEqual(names(), []);
      await module.stop();
      await module.start();
      assert.deepEqual(await append('second'), { sequence: 2, node: 'n1' });
      await kill('ledger');
      await module.start();
      assert.deepEqual(await append('third'), { sequence: 3, node: 'n1' });
      await node.run(['pkill', '-STOP', '-x', 'ledger']);
      await module.forceStop();
      assert.deepEqual(names(), []);
      await module.start();
      assert.equal(await curl(`${url}/entries?from=2`), '2\tsecond\n3\tthird\n');
      assert.deepEqual(JSON.parse(await curl(`${url}/health`)), { status: 'ok', entries: 3 });
    });

    it('cuts a torn end, and does not start from a damaged file', async () => {
      await writeFile(node.path(file), '1\ta\n2\tb\n3\ttor');
      await module.start();
      assert.deepEqual(await append('c'), { sequence: 3, node: 'n1' });
      assert.equal(await node.readFile(file), '1\ta\n2\tb\n3\tc\n');
      await module.stop();
      await appendFile(node.path(file), Buffer.alloc(300_000));
      const result = await module.run('start_prim', 'WAIT', 'ALONE', 'start');
      assert.equal(result.code, 1);
      assert.match(result.stderr, /damaged after entry 3/);
      assert.deepEqual(names(), []);
      await node.run(['rm', file]);
    });

    it('refuses what is not one line', async () => {
      await module.start();
      const status = (body: string): Promise<string> =>
        curl('-o', '/dev/null', '-w', '%{http_code}', '--data-binary', body, `${url}/append`);
      assert.equal(await status('a\nb'), '400');
      assert.equal(await status('x'.repeat(5000)), '413');
      assert.equal(await status('x'.repeat(4096)), '200');
    });

    it('acknowledges nothing that does not fit on the disk', async () => {
      await node.run(['mount', '-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', '/srv/ledger']);
      try {
        await module.start();
        const client = WorkloadClient.start(lab.client, 'ledger');
        await waitFor('the disk to be full', DEADLINE_MS, () => client.down);
        await node.run(['mount', '-o', 'remount,size=1m', '/srv/ledger']);
        await client.waitForMore(10, DEADLINE_MS);
        const result = await client.finish();
        assert.ok(result.unknown > 0);
        assert.deepEqual([result.lost, result.doubled, result.problem], [0, 0, undefined]);
      } finally {
        await module.forceStop();
        await node.run(['umount', '/srv/ledger']);
      }
    });

    it('does not signal a program that has got the number of a ledger of the past', async () => {
      const { other, number } = await startOther();
      const boot = (await node.run(['cat', '/proc/sys/kernel/random/boot_id'])).trim();
      await node.writeFile(`${WORK_FOLDER}/ledger.pid`, `${number} 1 ${boot}\n`);
      await module.forceStop();
      assert.ok(other.running);
      await other.stop();
    });

    it('loses no acknowledged entry when the process is killed or the power goes, and the client sees the outage', async () => {
      await node.run(['rm', '-f', file]);
      await module.start();
      const client = WorkloadClient.start(lab.client, 'ledger');
      await client.waitForMore(50, DEADLINE_MS);
      await kill('ledger');
      await module.start();
      await client.waitForMore(50, DEADLINE_MS);
      const cutMs = monotonicMs();
      await node.powerCut();
      await waitFor('the client to notice', DEADLINE_MS, () => client.down);
      await node.powerOn();
      await node.run(['ip', 'addr', 'add', `${VIRTUAL_IP}/32`, 'dev', 'eth0']);
      await module.start();
      await client.waitForMore(50, DEADLINE_MS);
      const result = await client.finish();
      assert.deepEqual([result.lost, result.doubled, result.problem], [0, 0, undefined]);
      assert.ok(result.acknowledged >= 150);
      const outage = result.outages.at(-1);
      assert.ok(outage !== undefined && outage.endMs > cutMs && outage.endMs - outage.startMs > 500);
    });

    it('is caught when it has lost an acknowledged entry', async () => {
      await module.start();
      const client = WorkloadClient.start(lab.client, 'ledger');
      await client.waitForMore(20, DEADLINE_MS);
      await kill('ledger');
      const lines = (await node.readFile(file)).split('\n');
      await writeFile(node.path(file), `${lines.slice(0, -11).join('\n')}\n`);
      await module.start();
      const result = await client.finish();
      assert.ok(result.lost >= 6, `${result.lost} lost`); // of the last ten, at most four were not acknowledged
    });
  });

  describe('postgresql-mirror', () => {
    let module: ModuleOnNode;
    before(() => {
      module = new ModuleOnNode(node, 'postgresql-mirror', { CLIENT_AUTHENTICATION: 'trust' });
    });
    after(() => module.forceStop());

    it('makes a cluster once, and keeps commits over stop, SIGKILL, forced stop and power cut', async () => {
      await module.succeed('prestart', 'STOP', 'WAIT', 'start');
      await module.start();
      await module.start();
      const client = WorkloadClient.start(lab.client, 'postgresql', { workers: 2 });
      await client.waitForMore(20, DEADLINE_MS);
      await module.stop();
      assert.deepEqual(names(), []);
      await module.start();
      await client.waitForMore(20, DEADLINE_MS);
      await kill('postgres');
      await module.start();
      await client.waitForMore(20, DEADLINE_MS);
      await module.forceStop();
      assert.deepEqual(names(), []);
      await module.start();
      await client.waitForMore(20, DEADLINE_MS);
      await node.powerCut();
      await node.powerOn();
      await node.run(['ip', 'addr', 'add', `${VIRTUAL_IP}/32`, 'dev', 'eth0']);
      await module.start();
      await client.waitForMore(20, DEADLINE_MS);
      const result = await client.finish();
      assert.deepEqual([result.lost, result.doubled, result.problem], [0, 0, undefined]);
    });

    it('starts although postmaster.pid names a process of another program', async () => {
      await module.start();
      await kill('postgres');
      const { other, number } = await startOther();
      await node.run(['sed', '-i', `1s/.*/${number}/`, '/srv/pgdata/15/postmaster.pid']);
      await module.start();
      await module.stop();
      assert.ok(other.running);
      await other.stop();
    });

    it('fails to start without the virtual address', async () => {
      await node.run(['ip', 'addr', 'del', `${VIRTUAL_IP}/32`, 'dev', 'eth0']);
      const result = await module.run('start_prim', 'WAIT', 'ALONE', 'start');
      await node.run(['ip', 'addr', 'add', `${VIRTUAL_IP}/32`, 'dev', 'eth0']);
      assert.equal(result.code, 1);
      assert.match(result.stderr, /does not accept connections on 10\.50\.1\.100/);
      await module.stop();
    });
  });
});
