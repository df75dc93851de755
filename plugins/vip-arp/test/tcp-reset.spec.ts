/** What clients of an address see when it leaves: real connections between two hosts, reset by the kernel of the one that had it. */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { resetConnections } from '../src/connection-reset.js';
import { parseIpAddress } from '../src/ip-address.js';
import { ERRNO, SystemCallFailed } from '../src/libc.js';
import { DriverClient } from './driver-client.js';
import { type Host, startPair, until } from './network-lab.js';
import { TcpPeer } from './tcp-peer.js';

const VIP4 = '10.77.0.100';
const VIP6 = 'fd77::100';
const BOTH = [VIP4, VIP6];
const CONFIGURATION = { interface: [{ real_interface: [{ virtual_addr: BOTH.map((addr) => ({ addr })) }] }] };
const PORT = 7000;
const RESET = 'error ECONNRESET';
const SEEN_MS_MAX = 500;
const MANY = 300;
const RELEASED_MS_MAX = 2000;

describe('tcpreset', function () {
  this.timeout(30_000);
  let owner: Host;
  let client: Host;
  let driver: DriverClient;
  const peers: TcpPeer[] = [];

  async function keep(peer: Promise<TcpPeer>): Promise<TcpPeer> {
    peers.push(await peer);
    return peer;
  }

  beforeEach(async () => {
    [owner, client] = await startPair();
    driver = await DriverClient.start(owner);
    await driver.create({ configuration: CONFIGURATION, lifetimeMs: 5000, localAddresses: ['10.77.0.1', 'fd77::1'] });
    await driver.call({ method: 'acquire' });
    await driver.call({ method: 'keepRenewing', intervalMs: 100 });
  });

  afterEach(async () => {
    await Promise.all([...peers.splice(0).map((peer) => peer.stop()), driver.kill()]);
    await Promise.all([owner.stop(), client.stop()]);
  });

  it('tells idle clients at once, IPv4 and IPv6, of a server that listens everywhere and of one that is bound to the address', async () => {
    await keep(TcpPeer.serve(owner, PORT));
    await keep(TcpPeer.serve(owner, PORT + 1, VIP4));
    const clients = [
      await keep(TcpPeer.connect(client, VIP4, PORT, 3)),
      await keep(TcpPeer.connect(client, VIP6, PORT, 3)),
      await keep(TcpPeer.connect(client, VIP4, PORT + 1, 3)),
    ];
    const stranger = await keep(TcpPeer.connect(client, '10.77.0.1', PORT));
    const startedAtMs = performance.now();
    await driver.call({ method: 'release', resetConnections: true });
    const releasedMs = performance.now() - startedAtMs;
    await until('every client is told', () => clients.every((one) => one.count(RESET) === 3), SEEN_MS_MAX);
    process.stdout.write(
      `      released after ${releasedMs.toFixed(1)} ms, told after ${(performance.now() - startedAtMs).toFixed(1)} ms\n`,
    );
    assert.deepEqual(
      BOTH.flatMap((address) => owner.interfacesOf(address)),
      [],
    );
    assert.deepEqual(stranger.lines, ['open'], 'a connection to the own address of the node stays');
    assert(driver.logged.some((line) => line.startsWith('info TCP connections') && line.includes('"connections":9')));
  });

  it('tells servers that the node itself is connected to from the address', async () => {
    const server = await keep(TcpPeer.serve(client, PORT));
    await keep(TcpPeer.connect(owner, '10.77.0.2', PORT, 1, VIP4));
    assert(server.lines.includes(`from ${VIP4}`));
    await driver.call({ method: 'release', resetConnections: true });
    await until('the server is told', () => server.count(RESET) === 1, SEEN_MS_MAX);
  });

  it('tells many clients within the bound, and the address is gone', async () => {
    await keep(TcpPeer.serve(owner, PORT));
    const many = await keep(TcpPeer.connect(client, VIP4, PORT, MANY));
    const startedAtMs = performance.now();
    await driver.call({ method: 'release', resetConnections: true });
    const releasedMs = performance.now() - startedAtMs;
    assert.deepEqual(owner.interfacesOf(VIP4), []);
    assert(releasedMs < RELEASED_MS_MAX, `${releasedMs} ms`);
    await until('every client is told', () => many.count(RESET) === MANY, RELEASED_MS_MAX);
    process.stdout.write(`      ${MANY} connections: released after ${releasedMs.toFixed(1)} ms\n`);
  });

  it('is asked for: without it a client hears nothing', async () => {
    const server = await keep(TcpPeer.serve(owner, PORT));
    const waiting = await keep(TcpPeer.connect(client, VIP4, PORT));
    await driver.call({ method: 'release' });
    assert.deepEqual(owner.interfacesOf(VIP4), []);
    await delay(2 * SEEN_MS_MAX);
    assert.deepEqual(waiting.lines, ['open']);
    assert.equal(server.lines.length, 2);
  });
});

describe('tcpreset on a kernel that cannot', () => {
  const address = parseIpAddress(VIP4) ?? assert.fail();
  const connection = { family: 2, state: 1, id: Buffer.alloc(48) };
  const never = new AbortController().signal;
  const close = async (): Promise<void> => undefined;

  it('is a coded warning and not a failure', async () => {
    for (const errno of [ERRNO.EOPNOTSUPP, ERRNO.EPROTONOSUPPORT, ERRNO.ENOENT]) {
      const refuse = (): never => {
        throw new SystemCallFailed('SOCK_DESTROY', errno);
      };
      const { reset, left, problem } = await resetConnections([address], never, () => ({ of: () => [connection], reset: refuse, close }));
      assert.deepEqual([reset, left, problem?.code], [0, 1, 'HF_VIP_RESET_UNSUPPORTED']);
      assert.match(problem?.message ?? '', /CONFIG_INET_DIAG_DESTROY/);
      const { problem: atOnce } = await resetConnections([address], never, refuse);
      assert.equal(atOnce?.code, 'HF_VIP_RESET_UNSUPPORTED');
    }
    const forbid = (): never => {
      throw new SystemCallFailed('SOCK_DESTROY', ERRNO.EPERM);
    };
    const { problem } = await resetConnections([address], never, () => ({ of: () => [connection], reset: forbid, close }));
    assert.match(problem?.message ?? '', /HF_VIP_RESET_FAILED: .*EPERM/);
  });

  it('ends in bounded time when there is always another connection', async () => {
    let listed = 0;
    const another = (): (typeof connection)[] => {
      listed += 1;
      const id = Buffer.alloc(48);
      id.writeUInt32LE(listed);
      return [{ ...connection, id }];
    };
    const startedAtMs = performance.now();
    const { reset, left, problem } = await resetConnections([address], never, () => ({ of: another, reset: () => true, close }));
    const tookMs = performance.now() - startedAtMs;
    assert(tookMs < RELEASED_MS_MAX, `${tookMs} ms`);
    assert(reset > 0);
    assert.deepEqual([left, problem?.code], [1, 'HF_VIP_RESET_TIME']);
  });
});
