/** The lab itself: what end-to-end tests believe of nodes, power and networks is checked here. Its end has a file of its own. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type CutOptions, Lab, type LabMachine, type RunningCommand, waitFor } from '../lab/index.js';

const PORT = 7000;
const DEADLINE_MS = 5000;

const RECEIVER = `
const socket = require('node:dgram').createSocket('udp6');
socket.on('message', (text) => console.log('got ' + text));
socket.bind(${PORT}, () => console.log('listening'));
`;
const SENDER = `
const [address, text] = process.argv.slice(1);
const socket = require('node:dgram').createSocket(address.includes(':') ? 'udp6' : 'udp4');
socket.send(text, ${PORT}, address, () => socket.close());
`;

async function startReceiver(machine: LabMachine): Promise<RunningCommand> {
  const receiver = machine.spawn([process.execPath, '-e', RECEIVER]);
  await receiver.waitForLine(/listening/, DEADLINE_MS);
  return receiver;
}

function addressOf(machine: LabMachine, position = 0): string {
  const address = machine.addresses[position];
  assert.ok(address);
  return address.ipv4;
}

describe('the lab', function () {
  this.timeout(30_000);
  let lab: Lab;
  let n1: LabMachine;
  let n2: LabMachine;
  const receivers = new Map<LabMachine, RunningCommand>();
  let messages = 0;

  /** True when a datagram arrives; a later one over a sure way proves that an earlier one was lost and is not just late. */
  async function arrives(from: LabMachine, to: LabMachine, address: string): Promise<boolean> {
    messages += 1;
    const text = `message-${messages}`;
    const receiver = receivers.get(to);
    assert.ok(receiver);
    await from.run([process.execPath, '-e', SENDER, address, text]);
    await to.run([process.execPath, '-e', SENDER, '127.0.0.1', `${text}-sure`]);
    await receiver.waitForLine(new RegExp(`${text}-sure$`), DEADLINE_MS);
    return receiver.lines.some((line) => line.text === `got ${text}`);
  }

  /** Waits until a datagram has arrived: the first one between two machines may wait for their neighbours' addresses, a second or more. */
  async function reaches(from: LabMachine, to: LabMachine, address: string): Promise<void> {
    messages += 1;
    await from.run([process.execPath, '-e', SENDER, address, `message-${messages}`]);
    await receivers.get(to)?.waitForLine(new RegExp(`got message-${messages}$`), DEADLINE_MS);
  }

  async function ways(options?: CutOptions): Promise<boolean[]> {
    if (options !== undefined) await lab.network.cut('n1', 'n2', options);
    return [await arrives(n1, n2, addressOf(n2)), await arrives(n2, n1, addressOf(n1)), await arrives(lab.client, n2, addressOf(n2))];
  }

  before(async () => {
    lab = await Lab.create({ nodes: ['n1', 'n2'], networks: [{ id: 1 }, { id: 2, members: ['n1', 'n2'] }], diskSizesMb: { n2: 64 } });
    n1 = lab.node('n1');
    n2 = lab.node('n2');
    for (const machine of lab.nodes) receivers.set(machine, await startReceiver(machine));
  });
  after(() => lab.close());

  it('gives every node its own name, disk, mounts and processes', async () => {
    for (const node of lab.nodes) {
      assert.equal((await node.run(['hostname'])).trim(), node.name);
      for (const folder of ['/srv', '/var/lib/holdfast', '/etc/holdfast', '/tmp', '/run', '/var/log']) {
        await node.writeFile(`${folder}/whoami`, node.name);
      }
      await node.run(['mount', '-t', 'tmpfs', `only-${node.name}`, '/opt']);
    }
    for (const node of lab.nodes) {
      for (const folder of ['/srv', '/var/lib/holdfast', '/etc/holdfast', '/tmp', '/run', '/var/log']) {
        assert.equal(await node.readFile(`${folder}/whoami`), node.name);
      }
      const mounts = await node.run(['cat', '/proc/mounts']);
      assert.deepEqual(mounts.match(/only-n\d/g), [`only-${node.name}`]);
      assert.deepEqual(node.pids().filter(({ command }) => command.includes('dgram')).length, 1, 'a node sees its own processes only');
    }
  });

  it('writes nothing on the host', async () => {
    assert.notEqual((await n1.exec(['touch', '/usr/holdfast-lab-was-here'])).code, 0);
    await n1.writeFile('/etc/holdfast-lab-was-here', '');
    await n1.writeFile('/var/holdfast-lab-was-here', '');
    for (const folder of ['usr', 'etc', 'var', 'srv', 'tmp', 'run']) assert.equal(existsSync(`/${folder}/holdfast-lab-was-here`), false);
  });

  it('takes trusted extended attributes on the disk of a node', async () => {
    const script =
      'import os; open("/srv/x","w"); os.setxattr("/srv/x","trusted.holdfast",b"1"); print(os.getxattr("/srv/x","trusted.holdfast"))';
    assert.equal((await n1.run(['python3', '-c', script])).trim(), "b'1'");
  });

  it('connects nodes and the client over IPv4 and IPv6, by address and by name', async () => {
    assert.equal(addressOf(n1), '10.50.1.11');
    assert.equal(addressOf(n2, 1), '10.50.2.12');
    assert.equal(addressOf(lab.client), '10.50.1.101');
    for (const address of ['10.50.1.12', 'fd50:1::12', '10.50.2.12', 'fd50:2::12']) await reaches(n1, n2, address);
    await reaches(lab.client, n1, '10.50.1.11');
    for (const [from, to] of [
      [n2, n1],
      [lab.client, n2],
    ] as const)
      await reaches(from, to, addressOf(to));
    assert.match(await lab.client.run(['getent', 'hosts', 'n2']), /n2/);
  });

  it('cuts the network between two nodes in one direction or in both, and heals', async () => {
    assert.deepEqual(await ways(), [true, true, true]);
    assert.deepEqual(await ways({ direction: 'a-to-b', network: 1 }), [false, true, true]);
    assert.ok(await arrives(n1, n2, addressOf(n2, 1)), 'the other network still works');
    assert.deepEqual(await ways({ direction: 'both' }), [false, false, true]);
    assert.equal(await arrives(n1, n2, addressOf(n2, 1)), false);
    await lab.network.heal();
    assert.deepEqual(await ways(), [true, true, true]);
  });

  it('drops a share of the packets, or those to one port only', async () => {
    assert.deepEqual(await ways({ only: { protocol: 'udp', port: PORT + 1 } }), [true, true, true]);
    assert.deepEqual(await ways({ only: { protocol: 'udp', port: PORT } }), [false, false, true]);
    await lab.network.heal();
    await lab.network.cut('n1', 'n2', { lossPercent: 99, only: { protocol: 'udp', port: PORT } });
    const attempts = await Promise.all(Array.from({ length: 5 }, () => arrives(n1, n2, addressOf(n2))));
    assert.ok(attempts.includes(false));
    await lab.network.heal();
  });

  it('isolates a node with its link up, and unplugs it with its link down', async () => {
    const carrier = async (): Promise<string> => (await n1.readFile('/sys/class/net/eth0/carrier')).trim();
    await lab.network.isolate('n1', { network: 1 });
    assert.deepEqual(await ways(), [false, false, true]);
    assert.equal(await carrier(), '1');
    await lab.network.heal();
    await lab.network.unplug('n1', { network: 1 });
    await waitFor('the link of n1 to go down', DEADLINE_MS, async () => (await carrier()) === '0');
    await lab.network.heal();
    await waitFor('the link of n1 to come up', DEADLINE_MS, async () => (await carrier()) === '1');
    assert.deepEqual(await ways(), [true, true, true]);
  });

  it('gives commands input, environment and folder, and tells their exit', async () => {
    const options = { input: 'abc', env: { COLOUR: 'blue' }, cwd: '/srv' };
    const result = await n1.exec(['sh', '-c', 'cat; echo " $COLOUR $PWD"; echo problem >&2; exit 3'], options);
    assert.deepEqual(result, { code: 3, signal: null, timedOut: false, stdout: 'abc blue /srv\n', stderr: 'problem\n' });
    await assert.rejects(n1.run(['sh', '-c', 'echo problem >&2; exit 3']), { code: 'HF_LAB_COMMAND_FAILED', message: /problem/ });
    const endless = await n1.exec(['sleep', '1000'], { timeoutMs: 100 });
    assert.deepEqual([endless.timedOut, endless.code], [true, null]);
    const daemon = await n1.exec(['sh', '-c', 'sleep 1000 & echo $!']);
    assert.equal(daemon.code, 0, 'a daemon that keeps the output open does not hold up the command that started it');
    await n1.run(['kill', daemon.stdout.trim()]);
  });

  it('pauses and resumes all processes of a node', async () => {
    const counter = n1.spawn(['sh', '-c', 'i=0; while [ $i -lt 10 ]; do i=$((i+1)); echo $i; sleep 0.05; done']);
    await counter.waitForLine(/^2$/, DEADLINE_MS);
    await n1.pause();
    const states = n1.pids().map(({ hostPid }) => /^State:\s*(\S)/m.exec(readFileSync(`/proc/${hostPid}/status`, 'utf8'))?.[1]);
    assert.ok(states.includes('T'));
    assert.ok(
      states.every((state) => state === 'T' || state === 'Z'),
      `states ${states.join(' ')}`,
    );
    await n1.resume();
    assert.deepEqual(await counter.finished, { code: 0, signal: null });
    assert.equal(counter.lines.length, 10);
  });

  it('fills the disk of a node that was given a small one', async () => {
    const result = await n2.exec(['dd', 'if=/dev/zero', 'of=/srv/big', 'bs=1M', 'count=100']);
    assert.match(result.stderr, /No space left/);
    await n2.run(['rm', '/srv/big']);
  });

  it('kills everything at a power cut, keeps what was synced and loses what was not', async () => {
    await n1.run(['sh', '-c', 'echo synced >/srv/synced; sync; echo lost >/srv/unsynced']);
    const command = n1.spawn(['sleep', '1000']);
    await waitFor('the command to run', DEADLINE_MS, () => command.hostPid);
    const hostPids = n1.pids().map(({ hostPid }) => hostPid);
    await n1.powerCut();
    assert.equal(n1.powered, false);
    assert.notEqual((await command.finished).code, 0);
    for (const hostPid of hostPids) assert.equal(existsSync(`/proc/${hostPid}`), false, 'a process survived the power cut');
    assert.throws(() => n1.exec(['true']), { code: 'HF_LAB_NODE_OFF' });
    assert.equal(readFileSync(n1.diskPath('/srv/synced'), 'utf8'), 'synced\n');
    await n1.powerOn();
    assert.deepEqual(n1.pids(), []);
    assert.equal(await n1.readFile('/srv/synced'), 'synced\n');
    assert.equal(existsSync(n1.path('/srv/unsynced')), false);
    assert.equal(existsSync(n1.path('/tmp/whoami')), false);
    assert.equal((await n1.run(['cat', '/proc/mounts'])).includes('only-n1'), false);
    receivers.set(n1, await startReceiver(n1));
    assert.ok(await arrives(n2, n1, addressOf(n1)), 'the node is back on the network');
  });

  it('can keep unsynced writes over a power cut', async () => {
    await n1.writeFile('/srv/unsynced', 'kept');
    await n1.powerCut({ unsyncedWrites: 'kept' });
    await n1.powerOn();
    assert.equal(await n1.readFile('/srv/unsynced'), 'kept');
  });

  it('puts the disks of all nodes into one folder of the host, when that is wanted, and leaves it to its owner', async () => {
    const diskFolder = mkdtempSync(join(tmpdir(), 'lab-spec-'));
    try {
      const shared = await Lab.create({ nodes: ['a', 'b'], clients: [], diskFolder });
      try {
        for (const node of shared.nodes) await node.writeFile('/srv/whoami', node.name);
        await assert.rejects(shared.node('a').powerCut(), /HF_LAB_OPTION: a has no disk of its own/);
        await shared.node('a').powerCut({ unsyncedWrites: 'kept' });
        await shared.node('a').powerOn();
        for (const node of shared.nodes) assert.equal(await node.readFile('/srv/whoami'), node.name);
      } finally {
        await shared.close();
      }
      for (const name of ['a', 'b']) assert.equal(readFileSync(join(diskFolder, name, 'srv/whoami'), 'utf8'), name);
    } finally {
      rmSync(diskFolder, { recursive: true });
    }
    await assert.rejects(Lab.create({ nodes: ['a'], diskFolder: '/var/tmp/disks' }), /HF_LAB_OPTION: .*\/var\/tmp\/disks/);
  });

  it('joins two networks with a router', async () => {
    const networks = [
      { id: 1, members: ['a'] },
      { id: 2, members: ['b'] },
    ];
    const routed = await Lab.create({ nodes: ['a', 'b'], clients: [], networks, router: true });
    try {
      const b = routed.node('b');
      receivers.set(b, await startReceiver(b));
      await reaches(routed.node('a'), b, '10.50.2.12');
      await reaches(routed.node('a'), b, 'fd50:2::12');
      await routed.network.cut('a', 'router');
      assert.equal(await arrives(routed.node('a'), b, '10.50.2.12'), false);
      await assert.rejects(routed.network.cut('a', 'b'), { code: 'HF_LAB_OPTION' });
    } finally {
      await routed.close();
    }
  });

  it('refuses names and networks that cannot work', async () => {
    await assert.rejects(Lab.create({ nodes: ['N 1'] }), { code: 'HF_LAB_OPTION', message: /"N 1"/ });
    await assert.rejects(Lab.create({ nodes: ['n1', 'n1'] }), { code: 'HF_LAB_OPTION', message: /not unique/ });
    await assert.rejects(Lab.create({ nodes: ['n1'], networks: [{ id: 1, members: ['n2'] }] }), { code: 'HF_LAB_OPTION', message: /"n2"/ });
  });
});
