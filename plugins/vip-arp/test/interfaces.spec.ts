/**
 * Interfaces of every kind, and which address the node's own connections leave from: against real kernels. What this kernel does not have
 * is said in the title of the test, which then shows that it has not.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import type { ElementValue } from '@holdfast/sdk';
import { DriverClient } from './driver-client.js';
import { type Host, startPair, until } from './network-lab.js';
import { TcpPeer } from './tcp-peer.js';

const VIP4 = '10.77.0.100';
const VIP6 = 'fd77::100';
const PORT = 7000;

/** Whether the kernel makes links of a kind, tried in a namespace that ends at once. */
function hasLinks(...kind: string[]): boolean {
  try {
    const words = ['--net', 'sh', '-c', 'ip link add a type veth peer name b && ip link add name c "$@"', 'try', ...kind];
    execFileSync('unshare', words, { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

const HAS_VLAN = hasLinks('link', 'a', 'type', 'vlan', 'id', '10');
const HAS_BOND = hasLinks('type', 'bond');

describe('interfaces for virtual addresses', function () {
  this.timeout(20_000);
  let left: Host;
  let right: Host;
  const running: { stop(): Promise<void> }[] = [];

  async function driver(interfaces: readonly ElementValue[], lifetimeMs = 2000): Promise<DriverClient> {
    const client = await DriverClient.start(left);
    running.push({ stop: () => client.kill() });
    const localAddresses = ['10.77.0.1', 'fd77::1'];
    await client.create({ configuration: { interface: interfaces }, lifetimeMs, localAddresses });
    return client;
  }

  const on = (virtualAddresses: readonly ElementValue[], attributes: ElementValue = {}): ElementValue => ({
    ...attributes,
    real_interface: [{ virtual_addr: virtualAddresses }],
  });

  beforeEach(async () => {
    [left, right] = await startPair();
  });

  afterEach(async () => {
    await Promise.all(running.splice(0).map((one) => one.stop()));
    await Promise.all([left.stop(), right.stop()]);
  });

  /** Another cable between the two, of the subnet 10.78.<number>.0/24. */
  function secondCable(number: number): void {
    const name = `eth${number}`;
    left.run('ip', 'link', 'add', name, 'type', 'veth', 'peer', 'name', name, 'netns', String(right.pid));
    [left, right].forEach((host, index) => {
      host.run('ip', 'address', 'add', `10.78.${number}.${index + 1}/24`, 'dev', name);
      host.run('ip', 'link', 'set', name, 'up');
    });
  }

  async function reached(vip: string): Promise<void> {
    await until(`${vip} is reached from the other host`, () => {
      try {
        right.run('ping', '-n', '-c', '1', '-W', '1', vip);
        return true;
      } catch {
        return false;
      }
    });
  }

  it('several addresses go to several interfaces, each to that of its subnet, and leave together', async () => {
    for (const number of [1, 2]) secondCable(number);
    const addresses = [VIP4, VIP6, '10.77.0.101', '10.78.1.100', '10.78.2.100'];
    const client = await driver([on(addresses.slice(0, 4).map((addr) => ({ addr }))), on([{ addr: '10.78.2.100' }], { name: 'eth2' })]);
    await client.call({ method: 'acquire' });
    await client.call({ method: 'keepRenewing', intervalMs: 100 });
    assert.deepEqual(
      addresses.map((vip) => left.interfacesOf(vip)),
      [['eth0'], ['eth0'], ['eth0'], ['eth1'], ['eth2']],
    );
    for (const vip of addresses) await reached(vip);
    left.run('ip', 'link', 'set', 'eth1', 'down');
    await client.call({ method: 'release' });
    assert.deepEqual(
      addresses.flatMap((vip) => left.interfacesOf(vip)),
      [],
    );
    await assert.rejects(client.call({ method: 'acquire' }), /HF_VIP_INTERFACE_DOWN: interface "eth1".*10\.78\.1\.100/);
    assert.deepEqual(
      addresses.flatMap((vip) => left.interfacesOf(vip)),
      [],
      'none is taken when one cannot be',
    );
  });

  it('a bridge has the address, and not its port', async () => {
    left.run('ip', 'link', 'add', 'br0', 'type', 'bridge', 'forward_delay', '0', 'mcast_snooping', '0');
    left.run('ip', 'address', 'flush', 'dev', 'eth0');
    left.run('ip', 'address', 'add', '10.77.0.1/24', 'dev', 'br0');
    left.run('ip', 'link', 'set', 'eth0', 'master', 'br0');
    left.run('ip', 'link', 'set', 'br0', 'up');
    const client = await driver([on([{ addr: VIP4 }])]);
    await client.call({ method: 'acquire' });
    await client.call({ method: 'keepRenewing', intervalMs: 100 });
    assert.deepEqual(left.interfacesOf(VIP4), ['br0']);
    await reached(VIP4);
  });

  if (HAS_VLAN) {
    it('a VLAN of 802.1q has the address of its subnet', async () => {
      [left, right].forEach((host, index) => {
        host.run('ip', 'link', 'add', 'link', 'eth0', 'name', 'eth0.10', 'type', 'vlan', 'id', '10');
        host.run('ip', 'address', 'add', `10.79.0.${index + 1}/24`, 'dev', 'eth0.10');
        host.run('ip', 'link', 'set', 'eth0.10', 'up');
      });
      const client = await driver([on([{ addr: '10.79.0.100' }])]);
      await client.call({ method: 'acquire' });
      assert.deepEqual(left.interfacesOf('10.79.0.100'), ['eth0.10']);
      await reached('10.79.0.100');
    });
  } else {
    it('NOT TESTED: a VLAN of 802.1q has the address of its subnet (this kernel has no VLANs)', () => {
      assert(!hasLinks('link', 'a', 'type', 'vlan', 'id', '10'));
    });
  }

  if (HAS_BOND) {
    it('a bond has the address, and announces it after it took its other port', async () => {
      secondCable(1);
      for (const host of [left, right]) {
        host.run('ip', 'address', 'flush', 'dev', 'eth0');
        host.run('ip', 'address', 'flush', 'dev', 'eth1');
        host.run('ip', 'link', 'add', 'bond0', 'type', 'bond', 'mode', 'active-backup', 'miimon', '50');
        for (const port of ['eth0', 'eth1']) {
          host.run('ip', 'link', 'set', port, 'down');
          host.run('ip', 'link', 'set', port, 'master', 'bond0');
        }
        host.run('ip', 'address', 'add', `10.77.0.${host === left ? 1 : 2}/24`, 'dev', 'bond0');
        host.run('ip', 'link', 'set', 'bond0', 'up');
      }
      const client = await driver([on([{ addr: VIP4 }])]);
      await client.call({ method: 'acquire' });
      await client.call({ method: 'keepRenewing', intervalMs: 100 });
      assert.deepEqual(left.interfacesOf(VIP4), ['bond0']);
      await reached(VIP4);
      left.run('ip', 'link', 'set', 'eth0', 'down');
      await reached(VIP4);
      assert.deepEqual(await client.state('verify'), ['held']);
    });
  } else {
    it('NOT TESTED: a bond has the address (this kernel has no bonding)', () => {
      assert(!hasLinks('type', 'bond'));
    });
  }

  it('an address of another subnet needs the interface and the mask, and brings the route to that subnet along', async () => {
    right.run('ip', 'address', 'add', '192.0.2.2/24', 'dev', 'eth0');
    await assert.rejects(driver([on([{ addr: '192.0.2.100' }])]), /HF_VIP_NO_INTERFACE: .*192\.0\.2\.100 \(present: .*10\.77\.0\.1\/24/);
    await assert.rejects(driver([on([{ addr: '192.0.2.100' }], { name: 'eth0' })]), /HF_VIP_NO_NETMASK: .*"eth0".*write netmask=/);
    await assert.rejects(driver([on([{ addr: VIP4 }], { name: 'eth7' })]), /HF_VIP_INTERFACE_MISSING: .*"eth7"/);
    const client = await driver([on([{ addr: '192.0.2.100', netmask: '24' }], { name: 'eth0' })], 1000);
    await client.call({ method: 'acquire' });
    await client.call({ method: 'keepRenewing', intervalMs: 100 });
    await reached('192.0.2.100');
    await until('the address is prolonged', () => (left.address('192.0.2.100')?.valid_life_time ?? 0) > 0);
    assert.match(left.run('ip', 'route', 'show'), /192\.0\.2\.0\/24 dev eth0/);
    await client.call({ method: 'release' });
    assert.doesNotMatch(left.run('ip', 'route', 'show'), /192\.0\.2\./);
  });

  const SOURCES = ['10.77.0.2', 'fd77::2', '203.0.113.9'];

  it('with one_side_alias the connections of the node leave from its own address', async () => {
    left.run('ip', 'route', 'add', 'default', 'via', '10.77.0.2');
    const before = SOURCES.map((to) => left.source(to));
    const client = await driver([on([VIP4, VIP6].map((addr) => ({ addr, where: 'one_side_alias' })))]);
    await client.call({ method: 'acquire' });
    await client.call({ method: 'keepRenewing', intervalMs: 100 });
    assert.deepEqual(
      SOURCES.map((to) => left.source(to)),
      before,
    );
    const server = await TcpPeer.serve(right, PORT);
    running.push(server);
    for (const to of ['10.77.0.2', 'fd77::2']) running.push(await TcpPeer.connect(left, to, PORT));
    assert.deepEqual(server.lines, ['listening', 'from 10.77.0.1', 'from fd77::1']);
  });

  it('with one_side they leave from the virtual address, also through a gateway, as long as it is there', async () => {
    left.run('ip', 'route', 'add', 'default', 'via', '10.77.0.2', 'metric', '100');
    const before = SOURCES.map((to) => left.source(to));
    assert.deepEqual(before, ['10.77.0.1', 'fd77::1', '10.77.0.1']);
    const client = await driver([on([VIP4, VIP6].map((addr) => ({ addr, where: 'one_side' })))], 1000);
    await client.call({ method: 'acquire' });
    await client.call({ method: 'keepRenewing', intervalMs: 100 });
    assert.deepEqual(
      SOURCES.map((to) => left.source(to)),
      [VIP4, VIP6, VIP4],
    );
    const server = await TcpPeer.serve(right, PORT);
    running.push(server);
    for (const to of ['10.77.0.2', 'fd77::2']) running.push(await TcpPeer.connect(left, to, PORT));
    assert.deepEqual(server.lines, ['listening', `from ${VIP4}`, `from ${VIP6}`]);
    // A route that comes later.
    left.run('ip', 'route', 'add', '198.51.100.0/24', 'via', '10.77.0.2');
    await until('the new route has the source', () => left.source('198.51.100.9') === VIP4);
    assert.equal(left.run('ip', 'route', 'show', 'proto', '72').trim().split('\n').length, 3, 'no route twice');
    await client.call({ method: 'release' });
    assert.deepEqual(
      SOURCES.map((to) => left.source(to)),
      before,
    );
    assert.equal(left.run('ip', 'route', 'show', 'proto', '72'), '');
    await client.call({ method: 'acquire' });
    assert.equal(left.source('10.77.0.2'), VIP4);
    await client.kill();
    await until('the routes end with the address of a dead agent', () => left.run('ip', 'route', 'show', 'proto', '72') === '');
    assert.equal(left.source('10.77.0.2'), '10.77.0.1');
  });

  it('refuses two sources of one interface and family, and leaves a source that somebody chose', async () => {
    const two = [VIP4, '10.77.0.101'].map((addr) => ({ addr, where: 'one_side' }));
    await assert.rejects(driver([on(two)]), /HF_VIP_SOURCE_AMBIGUOUS: 10\.77\.0\.100 and 10\.77\.0\.101 of interface "eth0"/);
    secondCable(1);
    left.run('ip', 'route', 'add', '198.51.100.0/24', 'via', '10.77.0.2', 'src', '10.78.1.1');
    const client = await driver([on([{ addr: VIP4, where: 'one_side' }])]);
    await client.call({ method: 'acquire' });
    await client.call({ method: 'keepRenewing', intervalMs: 100 });
    assert.equal(left.source('198.51.100.9'), '10.78.1.1');
    assert.equal(left.source('10.78.1.2'), '10.78.1.1', 'another interface');
  });
});
