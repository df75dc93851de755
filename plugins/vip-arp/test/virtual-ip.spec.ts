/** The driver against real kernels: two hosts on one segment, one of them watching what the other does. */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import type { ElementValue } from '@holdfast/sdk';
import { encodeGratuitousArp } from '../src/arp-frames.js';
import { encodeUnsolicitedAdvertisement } from '../src/neighbour-discovery-frames.js';
import { DriverClient } from './driver-client.js';
import { type Host, startPair, until } from './network-lab.js';

const VIP4 = '10.77.0.100';
const VIP6 = 'fd77::100';
const OLD_OWNER = '02:00:00:00:00:99';

function interfaceList(addresses: readonly ElementValue[], attributes: ElementValue = {}): ElementValue {
  return { interface: [{ ...attributes, real_interface: [{ virtual_addr: addresses }] }] };
}

const BOTH = interfaceList([{ addr: VIP4 }, { addr: VIP6 }]);

describe('virtual IP by ARP', function () {
  this.timeout(20_000);
  let left: Host;
  let right: Host;
  const clients: DriverClient[] = [];

  async function driverOn(host: Host, configuration: ElementValue = BOTH, lifetimeMs = 2000): Promise<DriverClient> {
    const client = await DriverClient.start(host);
    clients.push(client);
    await client.create({ configuration, lifetimeMs, localAddresses: host === left ? ['10.77.0.1', 'fd77::1'] : ['10.77.0.2', 'fd77::2'] });
    return client;
  }

  beforeEach(async () => {
    [left, right] = await startPair();
  });

  afterEach(async () => {
    await Promise.all(clients.splice(0).map((client) => client.kill()));
    await Promise.all([left.stop(), right.stop()]);
  });

  it('takes the addresses with a lifetime and the prefix length of the subnet, and releases them at once', async () => {
    const driver = await driverOn(left);
    assert.deepEqual(await driver.state('verify'), ['absent', 'absent']);
    await driver.call({ method: 'acquire' });
    const taken = left.address(VIP4);
    assert.equal(taken?.prefixlen, 24);
    assert(taken.valid_life_time <= 2);
    assert.equal(taken.noprefixroute, true);
    const taken6 = left.address(VIP6);
    assert.equal(taken6?.prefixlen, 64);
    assert(taken6.valid_life_time <= 2);
    assert.deepEqual(await driver.state('verify'), ['held', 'held']);

    await driver.call({ method: 'release' });
    assert.equal(left.address(VIP4), undefined);
    assert.equal(left.address(VIP6), undefined);
    assert.deepEqual(await driver.state('verify'), ['absent', 'absent']);
    assert.deepEqual(
      left.addresses().filter(({ local }) => local === '10.77.0.1' || local === 'fd77::1').length,
      2,
      "the node's own addresses stay",
    );
  });

  it('moves the clients at once: a neighbour that knew a previous owner knows the new one, IPv4 and IPv6', async () => {
    const driver = await driverOn(left);
    right.learnNeighbour(VIP4, OLD_OWNER);
    right.learnNeighbour(VIP6, OLD_OWNER);
    await driver.call({ method: 'acquire' });
    const tookMs = await until('the neighbour caches follow', () => [VIP4, VIP6].every((vip) => right.neighbour(vip) === left.mac));
    assert(tookMs < 1000);
  });

  it('announces again later, for equipment that missed the first time, until the address is released', async () => {
    const driver = await driverOn(left);
    await driver.call({ method: 'acquire' });
    right.learnNeighbour(VIP4, OLD_OWNER);
    await until('an announcement was repeated', () => right.neighbour(VIP4) === left.mac);
    await driver.call({ method: 'release' });
    right.learnNeighbour(VIP4, OLD_OWNER);
    await delay(1200);
    assert.equal(right.neighbour(VIP4), OLD_OWNER, 'announced after release');
  });

  it('goes on announcing at the interval when arpreroute is on', async () => {
    const driver = await driverOn(left, interfaceList([{ addr: VIP4 }], { arpreroute: true, arpinterval: 0.3, arpelapse: 60 }), 10_000);
    await driver.call({ method: 'acquire' });
    await delay(3200);
    right.learnNeighbour(VIP4, OLD_OWNER);
    await until('an announcement after the first seconds', () => right.neighbour(VIP4) === left.mac);
  });

  it('keeps the addresses beyond their lifetime while it is renewed', async () => {
    const driver = await driverOn(left, BOTH, 1000);
    await driver.call({ method: 'acquire' });
    await driver.call({ method: 'keepRenewing', intervalMs: 60 });
    const endMs = performance.now() + 3000;
    while (performance.now() < endMs) {
      assert(left.address(VIP4) !== undefined && left.address(VIP6) !== undefined, 'an address vanished although renewed');
      await delay(100);
    }
  });

  it('loses the addresses by itself when the agent is killed', async () => {
    const driver = await driverOn(left, BOTH, 1000);
    await driver.call({ method: 'acquire' });
    await driver.call({ method: 'keepRenewing', intervalMs: 60 });
    await delay(300);
    await driver.kill();
    const tookMs = await until('both addresses expired', () => left.address(VIP4) === undefined && left.address(VIP6) === undefined);
    assert(tookMs <= 2000, `${tookMs} ms`);
  });

  it('neither takes back nor announces an address that expired while the agent hung', async () => {
    const driver = await driverOn(left, BOTH, 1000);
    await driver.call({ method: 'acquire' });
    await driver.call({ method: 'keepRenewing', intervalMs: 60 });
    process.kill(driver.pid, 'SIGSTOP');
    await until('the addresses expired', () => left.address(VIP4) === undefined && left.address(VIP6) === undefined);
    const successor = await driverOn(right);
    await successor.call({ method: 'acquire' });
    left.learnNeighbour(VIP4, right.mac);
    process.kill(driver.pid, 'SIGCONT');
    await until('the loss is noticed', () => driver.logged.some((line) => line.includes('vanished')));
    assert.deepEqual(await driver.state('verify'), ['absent', 'absent']);
    await delay(500);
    assert.equal(left.address(VIP4), undefined);
    assert.deepEqual(successor.conflicts, [], 'the hung node claimed the address again');
    assert.deepEqual(driver.conflicts, []);
  });

  it('can be told to take, renew and release repeatedly, and before anything was taken', async () => {
    const driver = await driverOn(left);
    await driver.call({ method: 'renew' });
    await driver.call({ method: 'release' });
    assert.equal(left.address(VIP4), undefined);
    for (let round = 0; round < 3; round += 1) {
      await driver.call({ method: 'acquire' });
      await driver.call({ method: 'acquire' });
      await driver.call({ method: 'renew' });
      assert.equal(left.addresses().filter(({ local }) => local === VIP4).length, 1);
      await driver.call({ method: 'release' });
      await driver.call({ method: 'release', aborted: true });
      assert.equal(left.address(VIP4), undefined);
    }
    await driver.call({ method: 'close' });
    await driver.call({ method: 'close' });
    await assert.rejects(driver.call({ method: 'acquire' }), /HF_VIP_CLOSED/);
    await until('no timer is left', async () => (await driver.call({ method: 'handles' })) === 0);
  });

  it('does not add by renewing what somebody removed, and adds it when told to take', async () => {
    const driver = await driverOn(left, BOTH, 1000);
    await driver.call({ method: 'acquire' });
    left.run('ip', 'address', 'del', `${VIP4}/24`, 'dev', 'eth0');
    await delay(300);
    await driver.call({ method: 'renew' });
    assert.equal(left.address(VIP4), undefined);
    assert.deepEqual(await driver.state('verify'), ['absent', 'held']);
    await driver.call({ method: 'acquire' });
    assert.deepEqual(await driver.state('verify'), ['held', 'held']);
  });

  it('takes over an address that was added by hand, whatever its prefix length, and removes it completely', async () => {
    const driver = await driverOn(left);
    left.run('ip', 'address', 'add', `${VIP4}/32`, 'dev', 'eth0');
    left.run('ip', 'address', 'add', `${VIP6}/128`, 'dev', 'eth0', 'nodad');
    assert.deepEqual(await driver.state('probe'), ['held', 'held']);
    await driver.call({ method: 'acquire' });
    for (const vip of [VIP4, VIP6]) {
      const entries = left.addresses().filter(({ local }) => local === vip);
      assert.equal(entries.length, 1);
      assert((entries[0]?.valid_life_time ?? Infinity) <= 2, `${vip} stays for ever`);
    }
    await driver.call({ method: 'release' });
    assert.equal(left.address(VIP4), undefined);
    assert.equal(left.address(VIP6), undefined);
  });

  it("keeps the node's own address when the virtual one came first in the subnet", async () => {
    const driver = await driverOn(left, interfaceList([{ addr: VIP4, netmask: '255.255.255.0' }], { name: 'eth0' }));
    left.run('ip', 'address', 'del', '10.77.0.1/24', 'dev', 'eth0');
    await driver.call({ method: 'acquire' });
    left.run('ip', 'address', 'add', '10.77.0.1/24', 'dev', 'eth0');
    await driver.call({ method: 'release' });
    assert.equal(left.address(VIP4), undefined);
    assert(left.address('10.77.0.1') !== undefined, 'the own address went away with the virtual one');
  });

  it('finds another owner by asking, without taking anything or teaching the network anything', async () => {
    const owner = await driverOn(right);
    const driver = await driverOn(left);
    assert.deepEqual(await driver.state('probe'), ['absent', 'absent']);
    await owner.call({ method: 'acquire' });
    await owner.call({ method: 'keepRenewing', intervalMs: 100 });
    const startedAtMs = performance.now();
    const statuses = await driver.statuses('probe');
    assert(performance.now() - startedAtMs < 1000);
    assert.deepEqual(statuses, [
      { address: VIP4, interface: 'eth0', state: 'conflict', otherOwner: right.mac },
      { address: VIP6, interface: 'eth0', state: 'conflict', otherOwner: right.mac },
    ]);
    assert.deepEqual(await owner.state('probe'), ['held', 'held'], 'the owner sees itself');
    assert.deepEqual(owner.conflicts, []);
    assert.equal(left.address(VIP4), undefined);
  });

  it('notices another host that claims held addresses, defends them and says who it is', async () => {
    const driver = await driverOn(left);
    await driver.call({ method: 'acquire' });
    await driver.call({ method: 'keepRenewing', intervalMs: 100 });
    const intruder = await driverOn(right);
    await intruder.call({ method: 'acquire' });
    await until('both conflicts are reported', () => new Set(driver.conflicts.map(({ address }) => address)).size === 2);
    for (const { state, otherOwner } of driver.conflicts) assert.deepEqual([state, otherOwner], ['conflict', right.mac]);
    assert.deepEqual(await driver.state('verify'), ['conflict', 'conflict']);
    await delay(1200);
    const defended = driver.logged.filter((line) => line.includes(VIP4) && line.includes('"defended":true'));
    assert(defended.length >= 1 && defended.length <= 3, `${defended.length} defences`);
    assert(driver.conflicts.length <= 6, 'the listener is called once a second at most');
    await intruder.call({ method: 'release' });
  });

  it('ignores garbage on the wire', async () => {
    const driver = await driverOn(left);
    await driver.call({ method: 'acquire' });
    await driver.call({ method: 'keepRenewing', intervalMs: 100 });
    const sender = await driverOn(right);
    const [genuine = Buffer.alloc(42)] = encodeGratuitousArp(Buffer.from('020000000099', 'hex'), Buffer.from([10, 77, 0, 100]));
    const truncated = genuine.subarray(0, 30);
    const broadcastSender = Buffer.from(genuine).fill(0xff, 22, 28);
    const wrongHardware = Buffer.from(genuine).fill(7, 14, 16);
    const noise = Array.from({ length: 1000 }, (_, index) =>
      Buffer.concat([genuine.subarray(0, 14), Buffer.alloc(28 + (index % 60), index)]),
    );
    const frames = [truncated, broadcastSender, wrongHardware, ...noise].map((frame) => frame.toString('hex'));
    await sender.call({ method: 'inject', etherType: 0x0806, frames });
    const neighbour = noise.map((frame) =>
      Buffer.concat([frame.subarray(0, 12), Buffer.from('86dd60000000', 'hex'), frame]).toString('hex'),
    );
    await sender.call({ method: 'inject', etherType: 0x86dd, frames: neighbour });
    // Frames that the kernel's filter lets through, so that only the decoder can refuse them.
    const stranger = Buffer.from('020000000099', 'hex');
    const advertisement = encodeUnsolicitedAdvertisement(stranger, Buffer.from('fd770000000000000000000000000100', 'hex'));
    const damaged = { hopLimit: 21, code: 55, checksum: 56, flags: 60, optionLength: 79 };
    const passing = Object.values(damaged).map((at) =>
      Buffer.from(advertisement)
        .fill(0x11, at, at + 1)
        .toString('hex'),
    );
    await sender.call({ method: 'inject', etherType: 0x86dd, frames: passing });
    // A genuine claim right after the burst is heard: the burst took no room in the socket's buffer.
    await sender.call({ method: 'inject', etherType: 0x0806, frames: [genuine.toString('hex')] });
    await until('the genuine claim is noticed', () => driver.conflicts.length > 0);
    assert.deepEqual(driver.conflicts, [{ address: VIP4, interface: 'eth0', state: 'conflict', otherOwner: OLD_OWNER }]);
  });

  it('takes nothing at all when one address cannot be taken', async () => {
    const driver = await driverOn(left);
    left.run('sh', '-c', 'echo 1 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6');
    await assert.rejects(driver.call({ method: 'acquire' }), /HF_VIP_ACQUIRE_FAILED: fd77::100.*IPv6 is disabled/);
    assert.equal(left.address(VIP4), undefined);
    left.run('ip', 'link', 'set', 'eth0', 'down');
    await assert.rejects(driver.call({ method: 'acquire' }), /HF_VIP_INTERFACE_DOWN/);
    left.run('ip', 'link', 'del', 'eth0');
    await assert.rejects(driver.call({ method: 'acquire' }), /HF_VIP_INTERFACE_MISSING/);
    assert.deepEqual(await driver.state('verify'), ['absent', 'absent']);
    await driver.call({ method: 'release' });
  });

  it('refuses at once when a capability is missing, and names it', async () => {
    for (const capability of ['net_admin', 'net_raw']) {
      const client = await DriverClient.start(left, ['setpriv', `--bounding-set=-${capability}`, `--inh-caps=-${capability}`, '--']);
      clients.push(client);
      await assert.rejects(
        client.create({ configuration: BOTH, localAddresses: [], lifetimeMs: 2000 }),
        new RegExp(`HF_VIP_PERMISSION: .*CAP_${capability.toUpperCase()} is missing`),
      );
    }
  });

  it('refuses an address that no interface suits, naming the addresses that are there', async () => {
    const client = await DriverClient.start(left);
    clients.push(client);
    const create = (configuration: ElementValue): Promise<void> => client.create({ configuration, localAddresses: [], lifetimeMs: 2000 });
    await assert.rejects(create(interfaceList([{ addr: '192.0.2.7' }])), /HF_VIP_NO_INTERFACE: .*192\.0\.2\.7.*10\.77\.0\.1\/24/);
    await assert.rejects(
      create(interfaceList([{ addr: '192.0.2.7', netmask: '24' }], { name: 'eth9' })),
      /HF_VIP_INTERFACE_MISSING: .*"eth9"/,
    );
    await assert.rejects(create(interfaceList([{ addr: '192.0.2.7' }], { name: 'eth0' })), /HF_VIP_NO_NETMASK/);
    await assert.rejects(create(interfaceList([{ addr: '192.0.2.7', netmask: '8' }], { name: 'lo' })), /HF_VIP_INTERFACE_NOT_ETHERNET/);
    await assert.rejects(create(interfaceList([{ addr: 'fe80::7' }])), /HF_VIP_NO_INTERFACE: .*link-local/);
    await assert.rejects(create(interfaceList([{ addr: '10.77.0.255' }])), /HF_VIP_ADDRESS_INVALID: .*broadcast/);
    await create(interfaceList([{ addr: 'fe80::7' }], { name: 'eth0' }));
  });
});
