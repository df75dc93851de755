/**
 * `sync="fsync"`: the kernel keeps what an application writes, and both nodes have it when it was synced, when the file was closed, or
 * when the kernel does not want to keep it any longer.
 */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, lstatSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { CrashDisks } from './crash-disks.js';
import { assertIdentical, generation, Lab, type LabNode, signal, term, until } from './lab.js';

const PROGRAM = fileURLToPath(new URL('./write-back-process.js', import.meta.url));
const RECORDS_MIN = 200;

/** The application of these tests, with its file `f`. */
class Application {
  readonly lines: string[] = [];
  readonly #process: ChildProcess;
  readonly #ended: Promise<void>;
  #heard = 0;

  private constructor(node: LabNode) {
    const inside = ['-t', String(node.agentPid), '-m', process.execPath, PROGRAM, join(node.directory, 'f')];
    this.#process = spawn('nsenter', inside, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#process.stdin?.on('error', () => undefined);
    createInterface({ input: this.#process.stdout as NodeJS.ReadableStream }).on('line', (line) => this.lines.push(line));
    this.#ended = new Promise((resolve) => this.#process.once('close', () => resolve()));
  }

  static async start(node: LabNode): Promise<Application> {
    const application = new Application(node);
    await application.answer('ready');
    return application;
  }

  say(command: string): void {
    this.#process.stdin?.write(`${command}\n`);
  }

  async answer(what: string): Promise<string> {
    await until(
      () => this.lines.length > this.#heard,
      () => `the application's answer to "${what}"`,
    );
    this.#heard += 1;
    return this.lines[this.#heard - 1] as string;
  }

  ask(command: string): Promise<string> {
    this.say(command);
    return this.answer(command);
  }

  async end(): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.#ended;
  }
}

describe('a replicated pair whose kernel writes back', function () {
  this.timeout(60_000);
  let lab: Lab;
  const applications: Application[] = [];
  beforeEach(() => {
    lab = new Lab({ sync: 'fsync' });
  });
  afterEach(async () => {
    // What hangs in a held flush ends with the mount.
    await lab.close();
    for (const application of applications.splice(0)) await application.end();
  });

  const start = async (node: LabNode): Promise<Application> => {
    const application = await Application.start(node);
    applications.push(application);
    return application;
  };
  const sizeOn = ({ treeOutside }: LabNode): number => lstatSync(join(treeOutside, 'f')).size;
  const contentOn = ({ treeOutside }: LabNode): string => readFileSync(join(treeOutside, 'f'), 'latin1');

  it('has on both nodes what was synced or closed, and not before', async () => {
    const { a, b } = await lab.connectedPair();
    const application = await start(a);
    assert.equal(await application.ask('write 0 10000 one'), '10000');
    assert.deepEqual([sizeOn(a), sizeOn(b)], [0, 0]);
    assert.equal(await application.ask('sync'), 'ok');
    assert.deepEqual([sizeOn(a), sizeOn(b)], [10_000, 10_000]);
    await application.ask('write 10000 10 two');
    assert.equal(await application.ask('datasync'), 'ok');
    assert.deepEqual([sizeOn(a), sizeOn(b)], [10_010, 10_010]);
    await application.ask('write 10010 10 three');
    assert.equal(sizeOn(b), 10_010);
    assert.equal(await application.ask('close'), 'ok');
    await until(
      () => sizeOn(b) === 10_020,
      () => 'the content of the closed file',
    );
    await assertIdentical(a, b);
    assert.equal(a.status.link, 'connected', a.log.join('\n'));
    assert.match(a.status.note ?? '', /neither synced nor in a closed file/);
  });

  it('lets others see what is not sent yet, as data and not as a hole', async () => {
    const { a } = await lab.connectedPair();
    const application = await start(a);
    await application.ask('write 0 9000 x');
    assert.equal(await application.ask('data'), '0');
    assert.equal(await a.must('stat -c %s f && tr -d x < f | wc -c'), '9000\n0\n');
    await a.must('cp --sparse=always f copy && cmp f copy');
  });

  it('shows the time at which the application wrote, also when the kernel has forgotten it', async () => {
    const { a, b } = await lab.connectedPair();
    await a.must('i=0; while [ $i -lt 40 ]; do i=$((i+1)); echo $i > n$i; done');
    const application = await start(a);
    await application.ask('write 0 10 x');
    await new Promise((resolve) => setTimeout(resolve, 50));
    await application.ask('close');
    const shown = 'stat -c "%n %.9Y" f n*';
    const before = await a.must(shown);
    await assertIdentical(a, b);
    assert.equal(await b.must(shown), before);
    await a.stop();
    assert.equal(await a.must(shown), before);
  });

  it('sends what a mapping has changed when the mapping is synced with its file', async () => {
    const { a, b } = await lab.connectedPair();
    const application = await start(a);
    await application.ask('write 0 8192 x');
    await application.ask('sync');
    await application.ask('map 4096');
    assert.equal(contentOn(b).includes('mapped'), false);
    assert.equal(await application.ask('sync'), 'ok');
    assert.equal(contentOn(b).indexOf('mapped'), 4096);
    await assertIdentical(a, b);
  });

  it('does not send what is removed before it is written back to another node’s tree', async () => {
    const { a, b } = await lab.connectedPair();
    const application = await start(a);
    await application.ask('write 0 100000 x');
    await a.must('rm f');
    assert.equal(await application.ask('write 50000 100000 y'), '100000');
    const content = await application.ask('read 0 150000');
    assert.equal(await application.ask('sync'), 'ok');
    assert.equal(await application.ask('read 0 150000'), content);
    assert.equal(existsSync(join(b.treeOutside, 'f')), false);
    await assertIdentical(a, b);
  });

  it('keeps what was written when the replicator is killed, and syncs it through the next one', async () => {
    const { a, b } = await lab.connectedPair();
    const application = await start(a);
    await application.ask('write 0 3000000 abc');
    const content = await application.ask('read 0 3000000');
    const pid = a.replicatorPid;
    signal(pid, 'SIGKILL');
    assert.equal(await application.ask('write 3000000 5000 def'), '5000');
    assert.equal(await application.ask('sync'), 'ok');
    assert.notEqual(a.replicatorPid, pid);
    assert.equal(await application.ask('read 0 3000000'), content);
    assert.equal(await application.ask('data'), '0');
    await a.reach('connected');
    await assertIdentical(a, b);
    assert.equal(sizeOn(b), 3_005_000);
  });

  it('holds a sync while it is not known whether the primary may go on alone', async () => {
    const { a, b } = await lab.connectedPair();
    const application = await start(a);
    await b.kill();
    await a.reach('holding');
    assert.equal(await application.ask('write 0 10 x'), '10');
    const heard = application.lines.length;
    application.say('sync');
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.equal(application.lines.length, heard, 'nothing is synced that only one node has');
    await a.call({ call: 'continueAlone', term: term(2), base: generation(1) });
    assert.equal(await application.answer('sync'), 'ok');
    assert.equal(sizeOn(a), 10);
    await b.start();
    await b.becomeSecondary(2);
    await a.connectPeer(2, 'journal');
    await a.reach('connected');
    await assertIdentical(a, b);
  });

  it('says that a sync failed when the primary may not go on', async () => {
    const { a, b } = await lab.connectedPair();
    const application = await start(a);
    await b.kill();
    await a.reach('holding');
    await application.ask('write 0 10 x');
    await a.call({ call: 'refuse' });
    assert.equal(await application.ask('sync'), 'EIO');
  });

  it('says that a sync failed when there is no room, and both nodes stay the same', async () => {
    // Otherwise the peer acknowledges what it then cannot write, and is given up.
    const settings = { async: 'none', prepare: 'mount -t tmpfs -o size=4m none "$DIR"' } as const;
    const { a, b } = await lab.connectedPair(settings);
    const application = await start(a);
    assert.equal(await application.ask('write 0 6000000 x'), '6000000');
    assert.equal(await application.ask('sync'), 'ENOSPC');
    await a.must('rm f');
    await application.ask('close');
    await a.must('echo again > again && sync again');
    await a.reach('connected');
    await assertIdentical(a, b);
  });

  it('gives everything to the other node before it stops, also under a process that does not end', async () => {
    const { a, b } = await lab.connectedPair();
    const application = await start(a);
    await application.ask('write 0 2000000 x');
    await assert.rejects(a.stop(), /HF_REPLICATION_BUSY/);
    assert.equal(sizeOn(b), 0);
    await a.stop(true);
    assert.equal(sizeOn(b), 2_000_000);
    await application.end();
    await b.reach('none');
    await b.becomePrimary(2, { base: 1 });
    assert.equal(await b.must('tr -d x < f | wc -c'), '0\n');
  });

  it('loses no synced record when the primary loses its power', async () => {
    const disks = new CrashDisks(lab);
    const nodes: LabNode[] = [];
    for (const name of ['a', 'b'] as const) nodes.push(await lab.node({ name, prepare: await disks.prepare(name) }));
    const [a, b] = nodes as [LabNode, LabNode];
    await a.becomePrimary(1, { base: 1, fresh: true });
    await b.becomeSecondary(1);
    await a.connectPeer(1, 'compare');
    await a.reach('connected');
    const application = await start(a);
    application.say('records');
    await until(
      () => application.lines.length > RECORDS_MIN,
      () => `${RECORDS_MIN} records`,
    );
    await disks.cutPower([a]);
    await application.end();
    const last = Number(application.lines.filter((line) => /^\d+$/.test(line)).at(-1));
    await disks.released(a);
    await b.reach('none');
    await b.becomePrimary(2, { base: 1 });
    const survived = (await b.must('cat f')).trim().split('\n').map(Number);
    assert.deepEqual(
      survived.slice(0, last),
      Array.from({ length: last }, (_, index) => index + 1),
    );
    await a.start();
    await a.becomeSecondary(2);
    await b.connectPeer(2, 'journal');
    await b.reach('connected');
    await assertIdentical(b, a);
  });
});
