/**
 * Two nodes in two subnets behind a load balancer: a client writes through HAProxy, which has the configuration that the product prints.
 * Its probes alone move the clients, what is not ready refuses them, and nothing that was acknowledged is lost.
 */
import assert from 'node:assert/strict';
import { BALANCER, behindBalancer, LabBalancer, ledgerBehindBalancer, NODE_ADDRESSES } from '../lab/balancer.js';
import type { LabCluster } from '../lab/cluster.js';
import { waitFor } from '../lab/deadline.js';
import type { LabMachine } from '../lab/machine.js';
import type { RunningCommand } from '../lab/running-command.js';
import { LabWitness } from '../lab/witness.js';
import { WorkloadClient } from '../lab/workload-client.js';
import { LEDGER, ledgerCluster } from './ledger-cluster.js';

const RECOVERY_MS = 60_000;
const OUTAGE_MS_MIN = 150;
/** Another port of the service, of a program that no script stops. */
const SIDE_PORT = 8081;
const WITNESS = '10.50.3.102';

type Node = keyof typeof NODE_ADDRESSES;

const SIDE_SERVICE = `require('node:net').createServer((one) => one.on('error', () => {}).resume())
  .listen(${SIDE_PORT}, '0.0.0.0', () => console.log('listens'))`;
/** Says what becomes of a connection. */
const HOLD = `const socket = require('node:net').connect(Number(process.argv[2]), process.argv[1], () => console.log('connected'));
socket.on('error', (error) => console.log(error.code)).on('end', () => console.log('ended')).resume();`;

describe('a cluster in two subnets behind a load balancer', () => {
  let cluster: LabCluster;
  let client: WorkloadClient;
  let witness: LabWitness;

  before(async () => {
    cluster = await ledgerCluster({
      ...behindBalancer(['client', 'witness']),
      edit: (xml) => ledgerBehindBalancer(LabWitness.element(xml, WITNESS), [SIDE_PORT]),
    });
    witness = await LabWitness.start(cluster, cluster.lab.node('witness'), WITNESS);
    await cluster.startBoth();
    await LabBalancer.start(cluster);
    client = WorkloadClient.start(cluster.lab.client, LEDGER.service, { host: BALANCER, outageMs: OUTAGE_MS_MIN });
    await client.waitForMore(50, RECOVERY_MS);
  });
  after(async () => {
    await cluster.close();
  });

  const primary = (): Node => (cluster.primary() === 'n2' ? 'n2' : 'n1');
  const other = (node: Node): Node => (node === 'n1' ? 'n2' : 'n1');

  /** What the probe of a node says, asked from the network of the clients. */
  async function probe(node: Node): Promise<string> {
    const url = `http://${NODE_ADDRESSES[node]}:9010/var/modules/${cluster.module}/ready.txt`;
    return (await cluster.lab.client.exec(['curl', '-s', '-m', '2', '-w', ' %{http_code}', url])).stdout;
  }

  /** Holds a connection from a machine to a node, until the test ends it. */
  function hold(from: LabMachine, address: string, port: number): RunningCommand {
    return from.spawn([process.execPath, '-e', HOLD, address, String(port)]);
  }

  async function outcomeOf(from: LabMachine, address: string, port: number): Promise<string> {
    const held = hold(from, address, port);
    const line = await held.waitForLine(/./, RECOVERY_MS);
    held.kill();
    await held.finished;
    return line;
  }

  /** The client works again. @returns its longest outage since `known` of them had ended */
  async function outageMs(known: number): Promise<number> {
    await client.waitForMore(20, RECOVERY_MS);
    const since = client.outages.slice(known).map(({ startMs, endMs }) => Math.round(endMs - startMs));
    return Math.max(0, ...since);
  }

  function say(text: string): void {
    process.stdout.write(`      ${text}\n`);
  }

  it('has one node that says 200, and the other refuses the service ports, but not to itself', async () => {
    const [here, there] = [primary(), other(primary())];
    assert.match(await probe(here), /is ready on \S+\n 200$/);
    assert.match(await probe(there), /is not ready on \S+: SECOND \(Ready\)\n 503$/);
    const side = cluster.machine(there).spawn([process.execPath, '-e', SIDE_SERVICE]);
    await side.waitForLine(/listens/, RECOVERY_MS);
    assert.equal(await outcomeOf(cluster.lab.client, NODE_ADDRESSES[there], SIDE_PORT), 'ECONNREFUSED');
    assert.equal(await outcomeOf(cluster.machine(there), '127.0.0.1', SIDE_PORT), 'connected');
    assert.equal(await outcomeOf(cluster.machine(here), NODE_ADDRESSES[there], SIDE_PORT), 'connected', 'the peer may check it');
    side.kill();
    await side.finished;
  });

  it('hands over: the client follows, and connections to the old primary are reset', async () => {
    const [old, now] = [primary(), other(primary())];
    const side = cluster.machine(old).spawn([process.execPath, '-e', SIDE_SERVICE]);
    await side.waitForLine(/listens/, RECOVERY_MS);
    const held = hold(cluster.lab.client, NODE_ADDRESSES[old], SIDE_PORT);
    await held.waitForLine(/connected/, RECOVERY_MS);
    const known = client.outages.length;
    await cluster.command(old, 'swap');
    await held.waitForLine(/ECONNRESET/, RECOVERY_MS);
    side.kill();
    await cluster.waitFor({ [now]: 'PRIM Ready', [old]: 'SECOND Ready' }, RECOVERY_MS);
    const outage = await outageMs(known);
    say(`swap: outage ${outage} ms`);
    assert.match(await probe(old), / 503$/);
    assert.match(await probe(now), / 200$/);
  });

  it('goes on through the other node when the primary loses its power', async () => {
    await witness.waitUntilCountedOn(['n1', 'n2'], RECOVERY_MS);
    const [old, now] = [primary(), other(primary())];
    const known = client.outages.length;
    await cluster.powerCut(old);
    await cluster.waitFor({ [now]: 'ALONE Ready' }, RECOVERY_MS);
    const outage = await outageMs(known);
    say(`power cut: outage ${outage} ms`);
    await cluster.powerOn(old);
    await cluster.waitFor({ [now]: 'PRIM Ready', [old]: 'SECOND Ready' }, RECOVERY_MS);
  });

  it('has one node that serves when the nodes are cut off from each other and both reach the witness', async () => {
    await witness.waitUntilCountedOn(['n1', 'n2'], RECOVERY_MS);
    const known = client.outages.length;
    const router = cluster.lab.node('router');
    const { n1, n2 } = NODE_ADDRESSES;
    const cut = `add table ip cut; add chain ip cut forward { type filter hook forward priority 0; };
      add rule ip cut forward ip saddr { ${n1}, ${n2} } ip daddr { ${n1}, ${n2} } drop`;
    await router.run(['nft', cut]);
    try {
      // The primary asks first; on a machine that is late the other one may be granted.
      const serving = (): Node[] => (['n1', 'n2'] as const).filter((node) => cluster.state(node) === 'ALONE Ready');
      await waitFor('one to go on and the other to wait', RECOVERY_MS, () => {
        const [one] = serving();
        return one !== undefined && cluster.state(other(one)) === 'WAIT NotReady';
      });
      const here = primary();
      say(`nodes cut off from each other: outage ${await outageMs(known)} ms`);
      assert.match(await probe(here), / 200$/);
      assert.match(await probe(other(here)), /WAIT \(NotReady\)\n 503$/);
    } finally {
      await router.run(['nft', 'delete', 'table', 'ip', 'cut']);
    }
    const here = primary();
    await cluster.waitFor({ [here]: 'PRIM Ready', [other(here)]: 'SECOND Ready' }, RECOVERY_MS);
  });

  it('and loses nothing: everything that was acknowledged is there', async () => {
    const result = await client.finish();
    assert.equal(result.problem, undefined);
    assert.equal(result.lost, 0, result.lostExamples.join('; '));
    assert(result.acknowledged > 0);
  });
});
