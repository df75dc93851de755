/** What the owner of an address does about a real stranger who takes it too: on one segment with a client, until the client is back. */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { encodeGratuitousArp } from '../src/arp-frames.js';
import { ConflictRecord } from '../src/conflict-record.js';
import { parseIpAddress } from '../src/ip-address.js';
import { encodeUnsolicitedAdvertisement } from '../src/neighbour-discovery-frames.js';
import { DriverClient } from './driver-client.js';
import { type Host, startSegment, until } from './network-lab.js';

const VIP4 = '10.77.0.100';
const VIP6 = 'fd77::100';
const BOTH = [VIP4, VIP6];
const CONFIGURATION = { interface: [{ real_interface: [{ virtual_addr: BOTH.map((addr) => ({ addr })) }] }] };
const LOST_ANNOUNCEMENT = '02:00:00:00:00:99';
/** The announcements that follow the taking of an address end after 3 s. */
const ANNOUNCED_MS = 3200;
/** A stranger that is asked every 200 ms is missed after three questions. */
const NOTICED_MS = 2500;

const bytesOf = (address: string): Buffer => parseIpAddress(address)?.bytes ?? Buffer.alloc(0);

describe('a conflict on a virtual address', function () {
  this.timeout(30_000);
  let hosts: readonly Host[];
  let owner: Host;
  let stranger: Host;
  let client: Host;
  let driver: DriverClient;
  let claims: DriverClient;

  beforeEach(async () => {
    hosts = await startSegment(3);
    [owner, stranger, client] = hosts as readonly [Host, Host, Host];
    driver = await DriverClient.start(owner);
    claims = await DriverClient.start(stranger);
    await driver.create({ configuration: CONFIGURATION, lifetimeMs: 2000, localAddresses: ['10.77.0.1', 'fd77::1'] });
    await driver.call({ method: 'acquire' });
    await driver.call({ method: 'keepRenewing', intervalMs: 100 });
    // A client talks to the address.
    for (const vip of BOTH) await until(`the client reaches ${vip}`, () => reaches(vip));
  });

  afterEach(async () => {
    await Promise.all([driver.kill(), claims.kill()]);
    await Promise.all(hosts.map((host) => host.stop()));
  });

  function reaches(vip: string): boolean {
    try {
      client.run('ping', '-n', '-c', '1', '-W', '1', vip);
      return client.neighbour(vip) === owner.mac;
    } catch {
      return false;
    }
  }

  /** The stranger's kernel has the addresses, and says so as a host does that was configured by hand. */
  async function strangerTakes(): Promise<void> {
    stranger.run('ip', 'address', 'add', `${VIP4}/24`, 'dev', 'eth0');
    stranger.run('ip', 'address', 'add', `${VIP6}/64`, 'dev', 'eth0', 'nodad');
    await strangerAnnounces();
  }

  async function strangerAnnounces(): Promise<void> {
    const mac = Buffer.from(stranger.mac.replaceAll(':', ''), 'hex');
    const arp = encodeGratuitousArp(mac, bytesOf(VIP4)).map((frame) => frame.toString('hex'));
    await claims.call({ method: 'inject', etherType: 0x0806, frames: arp });
    const advertisement = encodeUnsolicitedAdvertisement(mac, bytesOf(VIP6)).toString('hex');
    await claims.call({ method: 'inject', etherType: 0x86dd, frames: [advertisement] });
  }

  it('is defended at once: the clients stay with the owner while the other host only claims once', async () => {
    await strangerTakes();
    await until('both conflicts are reported', () => BOTH.every((vip) => driver.conflicts.some(({ address }) => address === vip)));
    await until('the client is with the owner', () => BOTH.every((vip) => client.neighbour(vip) === owner.mac));
    for (const { state, otherOwner } of driver.conflicts) assert.deepEqual([state, otherOwner], ['conflict', stranger.mac]);
    assert.deepEqual(await driver.state('verify'), ['conflict', 'conflict']);
  });

  it('ends with new announcements at once and repeatedly, when the other host is gone that had insisted', async () => {
    await delay(ANNOUNCED_MS);
    await strangerTakes();
    // It insists more often than anybody may defend.
    await until('the client believes the stranger', async () => {
      await strangerAnnounces();
      return BOTH.every((vip) => client.neighbour(vip) === stranger.mac) && driver.conflicts.length >= 4;
    });
    await strangerAnnounces();
    stranger.run('ip', 'link', 'set', 'eth0', 'down');
    const tookMs = await until('the client is back', () => BOTH.every((vip) => client.neighbour(vip) === owner.mac), NOTICED_MS);
    for (const vip of BOTH) client.learnNeighbour(vip, LOST_ANNOUNCEMENT);
    await until('an announcement is repeated', () => BOTH.every((vip) => client.neighbour(vip) === owner.mac), NOTICED_MS);
    assert(BOTH.every(reaches));
    await until('the end is reported', () => driver.conflicts.filter(({ state }) => state === 'held').length === 2);
    assert.deepEqual(await driver.state('verify'), ['held', 'held']);
    process.stdout.write(`      the clients were back ${Math.round(tookMs)} ms after the stranger had gone\n`);
  });

  it('makes this node give the address up at once where arbitration does not say that it is its own', async () => {
    await driver.call({ method: 'judge', verdict: 'stepBack' });
    await strangerTakes();
    await until('the address is gone here', () => BOTH.every((vip) => owner.address(vip) === undefined), 1000);
    await strangerAnnounces();
    for (const vip of BOTH) await until('the client is with the other host', () => client.neighbour(vip) === stranger.mac);
    assert.deepEqual(await driver.state('verify'), ['absent', 'absent']);
    assert(
      driver.logged.some((line) => line.startsWith('error') && line.includes('"steppedBack":true')),
      'no alarm',
    );
    assert.equal(driver.logged.filter((line) => line.includes('"defended":true')).length, 0);
    await driver.call({ method: 'judge', verdict: 'defend' });
    await driver.call({ method: 'acquire' });
    assert.notDeepEqual(await driver.state('verify'), ['absent', 'absent'], 'taken again when the node is told to');
  });

  it('announces held addresses again when it is told to take them', async () => {
    await delay(ANNOUNCED_MS);
    for (const vip of BOTH) client.learnNeighbour(vip, LOST_ANNOUNCEMENT);
    await driver.call({ method: 'acquire' });
    await until('the client is with the owner', () => BOTH.every((vip) => client.neighbour(vip) === owner.mac), 1000);
  });
});

describe('the record of a conflict', () => {
  const mac = Buffer.from('020000000099', 'hex');

  it('lets two owners that both insist defend five times a second apart, and then once in ten seconds', () => {
    const record = new ConflictRecord();
    const defences: number[] = [];
    for (let nowMs = 0; nowMs < 60_000; nowMs += 50) {
      if (!record.claimed(mac, nowMs).mayDefend) continue;
      record.defended(nowMs);
      defences.push(nowMs);
    }
    assert.deepEqual(defences, [0, 1000, 2000, 3000, 4000, 14_000, 24_000, 34_000, 44_000, 54_000]);
  });

  it('is reported once a second, or at once when another host appears', () => {
    const record = new ConflictRecord();
    const other = Buffer.from('020000000002', 'hex');
    const reports = [
      [mac, 0],
      [mac, 500],
      [other, 600],
      [other, 700],
      [other, 1700],
    ] as const;
    assert.deepEqual(
      reports.map(([who, nowMs]) => record.claimed(who, nowMs).report),
      [true, false, true, false, true],
    );
  });

  it('ends when three questions stayed without an answer, says so once, and begins anew with the next claim', () => {
    const record = new ConflictRecord();
    assert.equal(record.next(0), undefined, 'nothing is asked without a conflict');
    record.claimed(mac, 0);
    const said: (readonly [number, string])[] = [];
    for (let nowMs = 0; nowMs < 5000; nowMs += 50) {
      // The other host answers for a second.
      const due = record.next(nowMs);
      if (due !== undefined) said.push([nowMs, due]);
      if (due === 'ask' && nowMs <= 1000) record.claimed(mac, nowMs);
    }
    const asked = [200, 400, 600, 800, 1000, 1200, 1400, 1600].map((at) => [at, 'ask'] as const);
    assert.deepEqual(said, [...asked, [1800, 'over']]);
    assert.equal(record.otherOwner, undefined);
    record.claimed(mac, 6000);
    assert.equal(record.otherOwner, '02:00:00:00:00:99');
    assert.equal(record.next(6200), 'ask');
  });
});
