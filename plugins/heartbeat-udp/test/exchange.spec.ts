/** Two nodes, each with its sending process, over the loopback network. */
import assert from 'node:assert/strict';
import { HEARTBEAT_PAYLOAD_BYTES_MAX, HoldfastError } from '@holdfast/sdk';
import { monotonicMs } from '../src/channel.js';
import { bindUdp, closeUdp, type Ear, freePort, optionsOf, TestNode, until } from './node.js';

describe('heartbeats over UDP', function () {
  this.timeout(20_000);
  const realtime = process.env['HOLDFAST_REALTIME'];
  let north: TestNode;
  let south: TestNode;
  let port: number;

  before(() => {
    process.env['HOLDFAST_REALTIME'] = 'off';
  });
  after(() => {
    if (realtime === undefined) delete process.env['HOLDFAST_REALTIME'];
    else process.env['HOLDFAST_REALTIME'] = realtime;
  });
  beforeEach(async () => {
    [north, south, port] = await Promise.all([TestNode.start(), TestNode.start(), freePort()]);
  });
  afterEach(async () => {
    await Promise.all([north.stop(), south.stop()]);
  });

  async function openBoth(pulseMs = 50): Promise<[Ear, Ear]> {
    const ears = await Promise.all([north.open(optionsOf('north', port, { pulseMs })), south.open(optionsOf('south', port, { pulseMs }))]);
    ears[0].session.publish(Buffer.from('from north'));
    ears[1].session.publish(Buffer.from('from south'));
    await until('both nodes hear each other', () => ears.every(({ heard }) => heard.length > 0));
    return ears;
  }

  it('carries payloads both ways, stamped on the monotonic clock', async () => {
    const [atNorth, atSouth] = await openBoth();
    await until('ten heartbeats', () => atNorth.heard.length >= 10);
    const last = atNorth.heard.at(-1);
    assert.ok(last);
    assert.equal(Buffer.from(last.payload).toString(), 'from south');
    assert.equal(Buffer.from(atSouth.heard.at(-1)?.payload ?? []).toString(), 'from north');
    assert.deepEqual([last.link, last.goodbye], ['default', false]);
    const ageMs = monotonicMs() - last.receivedMs;
    assert.ok(ageMs >= 0 && ageMs < 1000, `received ${ageMs} ms ago`);
    assert.equal(atNorth.session.rejected(), 0);
  });

  it('gets acquainted and delivers a new payload at once, without waiting for a pulse', async () => {
    const [atNorth, atSouth] = await openBoth(5000);
    const beganMs = monotonicMs();
    atNorth.session.publish(Buffer.from('new'));
    const isNew = ({ payload }: { payload: Uint8Array }): boolean => Buffer.from(payload).toString() === 'new';
    await until('the new payload', () => atSouth.heard.some(isNew), 1000);
    assert.ok(monotonicMs() - beganMs < 1000);
  });

  it('carries the largest payload allowed and refuses a larger one', async () => {
    const [atNorth, atSouth] = await openBoth();
    const payload = Buffer.alloc(HEARTBEAT_PAYLOAD_BYTES_MAX, 0x5a);
    atNorth.session.publish(payload);
    await until('the large payload', () => atSouth.heard.at(-1)?.payload.length === payload.length);
    assert.deepEqual(Buffer.from(atSouth.heard.at(-1)?.payload ?? []), payload);
    assert.throws(() => atNorth.session.publish(Buffer.alloc(HEARTBEAT_PAYLOAD_BYTES_MAX + 1)), { code: 'HF_HEARTBEAT_PAYLOAD' });
  });

  it('says goodbye with the last payload, then sends nothing more', async () => {
    const [atNorth, atSouth] = await openBoth();
    atNorth.session.publish(Buffer.from('last words'));
    await atNorth.session.close({ goodbye: true });
    await until('the goodbye', () => atSouth.heard.at(-1)?.goodbye === true);
    const farewell = atSouth.heard.at(-1);
    assert.equal(Buffer.from(farewell?.payload ?? []).toString(), 'last words');
    const count = atSouth.heard.length;
    const back = await north.open(optionsOf('north', port));
    back.session.publish(Buffer.from('again'));
    await until('the peer again', () => atSouth.heard.length > count);
    assert.equal(Buffer.from(atSouth.heard[count]?.payload ?? []).toString(), 'again');
    assert.deepEqual(atSouth.heard.filter(({ goodbye }) => goodbye).length, 1);
  });

  it('closes without a goodbye when told so, and frees its ports', async () => {
    const [atNorth, atSouth] = await openBoth();
    await Promise.all([atNorth.session.close({ goodbye: false }), atNorth.session.close({ goodbye: false })]);
    await closeUdp(await bindUdp('127.0.0.1', port));
    assert.ok(atSouth.heard.every(({ goodbye }) => !goodbye));
    assert.deepEqual(atNorth.failures, []);
  });

  it('shows the age of the last tick growing when the agent stops ticking, and small while it ticks', async () => {
    const [atNorth, atSouth] = await openBoth();
    const ticking = setInterval(() => atNorth.session.tick(), 20);
    try {
      const start = atSouth.heard.length;
      await until('ten heartbeats while ticking', () => atSouth.heard.length >= start + 10);
      const ages = atSouth.heard.slice(-5).map(({ agentTickAgeMs }) => agentTickAgeMs);
      assert.ok(Math.min(...ages) < 100, `ages ${ages.join()}`);
    } finally {
      clearInterval(ticking);
    }
    await until('an age of 500 ms', () => (atSouth.heard.at(-1)?.agentTickAgeMs ?? 0) > 500);
  });

  it('keeps its pulse while the event loop of the agent is blocked for 800 ms', async () => {
    const [atNorth] = await openBoth();
    const blockedFromMs = monotonicMs();
    while (monotonicMs() - blockedFromMs < 800);
    const blockedToMs = monotonicMs();
    await until('a heartbeat after the block', () => (atNorth.heard.at(-1)?.receivedMs ?? 0) > blockedToMs);
    const times = atNorth.heard.map(({ receivedMs }) => receivedMs).filter((time) => time > blockedFromMs - 100);
    const gaps = times.slice(1).map((time, index) => time - (times[index] ?? time));
    assert.ok(Math.max(...gaps) < 400, `largest gap ${Math.max(...gaps)} ms`);
    assert.ok(times.filter((time) => time < blockedToMs).length >= 5, 'heartbeats arrived during the block');
    assert.deepEqual(atNorth.failures, []);
  });

  it('hears a peer whose whole plug-in restarted', async () => {
    const [atNorth] = await openBoth();
    await south.restart();
    const count = atNorth.heard.length;
    const again = await south.open(optionsOf('south', port));
    again.session.publish(Buffer.from('restarted'));
    await until('the restarted peer is heard', () => atNorth.heard.length > count);
    await until('the restarted peer hears', () => again.heard.length > 0);
    assert.equal(Buffer.from(atNorth.heard.at(-1)?.payload ?? []).toString(), 'restarted');
  });

  it('refuses frames of another cluster key, and counts them', async () => {
    const atNorth = await north.open(optionsOf('north', port));
    const atSouth = await south.open(optionsOf('south', port, { key: Buffer.alloc(32, 8) }));
    atNorth.session.publish(Buffer.from('north'));
    atSouth.session.publish(Buffer.from('south'));
    await until('refusals on both sides', () => [atNorth, atSouth].every(({ session }) => session.rejected() > 3));
    assert.deepEqual([atNorth.heard, atSouth.heard], [[], []]);
    assert.ok(north.lines.some(({ level, message }) => level === 'warn' && message.startsWith('heartbeat frames refused')));
  });

  it('refuses frames of another module on the same address, and counts them', async () => {
    const atNorth = await north.open(optionsOf('north', port));
    const atSouth = await south.open(optionsOf('south', port, { module: 'mail' }));
    atSouth.session.publish(Buffer.from('south'));
    await until('refusals', () => atNorth.session.rejected() > 3);
    assert.deepEqual(atNorth.heard, []);
  });

  it('goes on while garbage of every size arrives, and counts it', async () => {
    const [atNorth] = await openBoth();
    const stranger = await bindUdp('127.0.0.1');
    try {
      const sizes = [0, 1, 4, 33, 72, 500, 8192, 20_000, 60_000];
      for (const size of sizes) stranger.send(Buffer.alloc(size, 0x48), port, '127.0.0.1');
      await until('all garbage counted', () => atNorth.session.rejected() === sizes.length);
    } finally {
      await closeUdp(stranger);
    }
    const count = atNorth.heard.length;
    await until('heartbeats go on', () => atNorth.heard.length > count + 2);
    await atNorth.session.close({ goodbye: false });
    assert.equal(atNorth.session.rejected(), 9);
  });

  it('serves all sessions and links from one process, and does not believe its own frames reflected', async () => {
    // On ::1 both ends are this node itself.
    const links = [...optionsOf('north', port).links, { name: 'mirror', localAddress: '::1', peerAddress: '::1', port }];
    const atNorth = await north.open(optionsOf('north', port, { links }));
    await north.open(optionsOf('north', await freePort(), { module: 'mail' }));
    const atSouth = await south.open(optionsOf('south', port));
    atNorth.session.publish(Buffer.from('x'));
    atSouth.session.publish(Buffer.from('y'));
    await until('the link to the peer', () => atNorth.heard.some(({ link }) => link === 'default'));
    await until('reflected frames are refused', () => atNorth.session.rejected() > 3);
    assert.ok(atNorth.heard.every(({ link }) => link === 'default'));
    assert.equal(north.lines.filter(({ message }) => message === 'heartbeat process started').length, 1);
  });

  it('names an address that this node does not have, and a port that is taken, and leaves nothing bound', async () => {
    const absent = { name: 'second', localAddress: '192.0.2.1', peerAddress: '192.0.2.2', port };
    const links = [...optionsOf('north', port).links, absent];
    await assert.rejects(north.open(optionsOf('north', port, { links })), (error) => {
      assert.ok(error instanceof HoldfastError);
      assert.equal(error.code, 'HF_HEARTBEAT_ADDRESS_ABSENT');
      assert.match(error.message, /"second".*192\.0\.2\.1/);
      return true;
    });
    const taken = await bindUdp('127.0.0.1', port); // also proves that the first link was released
    try {
      await assert.rejects(north.open(optionsOf('north', port)), { code: 'HF_HEARTBEAT_PORT_TAKEN' });
    } finally {
      await closeUdp(taken);
    }
    await north.open(optionsOf('north', port));
  });

  it('refuses options that cannot work, by name', async () => {
    const good = optionsOf('north', port);
    const link = { name: 'default', localAddress: '127.0.0.1', peerAddress: '127.0.0.2', port };
    const bad = [
      { ...good, key: Buffer.alloc(16) },
      { ...good, peerNode: 'north' },
      { ...good, module: '' },
      { ...good, pulseMs: 0 },
      { ...good, links: [] },
      { ...good, links: [link, link] },
      { ...good, links: [{ ...link, peerAddress: 'south.example' }] },
      { ...good, links: [{ ...link, peerAddress: '::1' }] },
      { ...good, links: [{ ...link, port: 0 }] },
      { ...good, links: [{ ...link, localAddress: 'fe80::1', peerAddress: 'fe80::2' }] },
    ];
    for (const options of bad) await assert.rejects(north.open(options), { code: 'HF_HEARTBEAT_OPTIONS' });
  });
});
