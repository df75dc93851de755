/**
 * One owner of the virtual address, seen by the kernels of both nodes: when the primary's agent hangs or is killed, or the primary is cut
 * off from everything, its address is gone before the other node has it.
 */
import assert from 'node:assert/strict';
import { VIRTUAL_IP } from '../demo/applications.js';
import type { LabCluster } from '../lab/cluster.js';
import { waitFor } from '../lab/deadline.js';
import type { LabMachine } from '../lab/machine.js';
import type { RunningCommand } from '../lab/running-command.js';
import { LabWitness } from '../lab/witness.js';
import type { WorkloadClient } from '../lab/workload-client.js';
import { ledgerClient, ledgerCluster, waitForLog } from './ledger-cluster.js';

const RECOVERY_MS = 60_000;
/** An old primary that comes back and finds a newer one: stops, meets, resynchronises. */
const REJOIN_MS = 20_000;
const LOOK_MS = 10;

/** Says at which monotonic time the kernel has the address, and has it no more. */
const WATCH = `
const { networkInterfaces } = require('node:os');
let had;
setInterval(() => {
  const has = Object.values(networkInterfaces()).some((found) => found.some(({ address }) => address === '${VIRTUAL_IP}'));
  if (has !== had) console.log((has ? 'has ' : 'lost ') + process.hrtime.bigint() / 1000000n);
  had = has;
}, ${LOOK_MS});
`;

class AddressWatch {
  readonly #command: RunningCommand;
  readonly #seen: { readonly has: boolean; readonly atMs: number }[] = [];

  constructor(readonly machine: LabMachine) {
    this.#command = machine.spawn([process.execPath, '-e', WATCH]);
    this.#command.onLine(({ stream, text }) => {
      const [word, at] = text.split(' ');
      if (stream === 'stdout') this.#seen.push({ has: word === 'has', atMs: Number(at) });
    });
  }

  get has(): boolean {
    return this.#seen.at(-1)?.has ?? false;
  }

  /** @returns when that was seen first after `sinceMs` */
  async first(has: boolean, sinceMs: number): Promise<number> {
    const find = (): number | undefined => this.#seen.find((one) => one.has === has && one.atMs >= sinceMs)?.atMs;
    await waitFor(`${this.machine.name} ${has ? 'has' : 'has lost'} the address`, RECOVERY_MS, () => find() !== undefined);
    return find() ?? 0;
  }
}

const nowMs = (): number => Number(process.hrtime.bigint() / 1_000_000n);

function agentPid(machine: LabMachine): number {
  const agents = machine.pids().filter(({ command }) => /holdfast\.js agent$/.test(command.trim()));
  assert.equal(agents.length, 1, `one agent on ${machine.name}`);
  return agents[0]?.hostPid ?? 0;
}

describe('the virtual address has one owner', () => {
  let cluster: LabCluster;
  let client: WorkloadClient;
  let witness: LabWitness;
  const watches = new Map<string, AddressWatch>();

  before(async () => {
    cluster = await ledgerCluster({ clients: ['client', 'witness'], edit: (xml) => LabWitness.element(xml, '10.50.1.102') });
    witness = await LabWitness.start(cluster, cluster.lab.node('witness'), '10.50.1.102');
    await cluster.startBoth();
    client = ledgerClient(cluster);
    await client.waitForMore(50, RECOVERY_MS);
    for (const node of ['n1', 'n2']) watches.set(node, new AddressWatch(cluster.machine(node)));
  });
  after(async () => {
    await cluster.close();
  });

  /** Breaks the primary, and looks at who had the address when. @returns the roles that follow */
  async function oneOwner(
    what: string,
    breaks: (primary: LabMachine) => Promise<() => Promise<void>>,
  ): Promise<{ now: string; old: string }> {
    await witness.waitUntilCountedOn(['n1', 'n2'], RECOVERY_MS);
    const old = cluster.primary() ?? '';
    const now = old === 'n1' ? 'n2' : 'n1';
    const [before, after] = [watches.get(old), watches.get(now)];
    assert(before !== undefined && after !== undefined);
    await waitFor('the primary to have the address', RECOVERY_MS, () => before.has && !after.has);
    const beganMs = nowMs();
    const mend = await breaks(cluster.machine(old));
    try {
      const [lostMs, hasMs] = await Promise.all([before.first(false, beganMs), after.first(true, beganMs)]);
      process.stdout.write(`      ${what}: gone after ${lostMs - beganMs} ms, taken after ${hasMs - beganMs} ms\n`);
      assert.ok(lostMs < hasMs, 'both nodes had the address at one time');
      await client.waitForMore(20, RECOVERY_MS);
    } finally {
      await mend();
    }
    const mendedMs = nowMs();
    await cluster.waitFor({ [now]: 'PRIM Ready', [old]: 'SECOND Ready' }, REJOIN_MS);
    process.stdout.write(`      whole again ${nowMs() - mendedMs} ms after it was mended\n`);
    assert.equal(before.has, false);
    return { now, old };
  }

  it('when the agent of the primary hangs', async () => {
    await oneOwner('agent stopped', async (primary) => {
      const pid = agentPid(primary);
      process.kill(pid, 'SIGSTOP');
      return async () => {
        process.kill(pid, 'SIGCONT');
      };
    });
  });

  it('when the agent of the primary is killed', async () => {
    await oneOwner('agent killed', async (primary) => {
      process.kill(agentPid(primary), 'SIGKILL');
      await cluster.agent(primary.name)?.finished;
      return () => cluster.startAgent(primary.name);
    });
  });

  it('when the primary is cut off from everything: it gives the address up before the witness may grant the other node', async () => {
    const { old } = await oneOwner('primary cut off', async (primary) => {
      await cluster.lab.network.isolate(primary.name);
      return () => cluster.lab.network.heal();
    });
    await waitForLog(cluster, old, /the virtual addresses are given up: the other node is not heard/);
  });

  it('and none is lost: everything that was acknowledged is there', async () => {
    const result = await client.finish();
    assert.equal(result.problem, undefined);
    assert.equal(result.lost, 0, result.lostExamples.join('; '));
  });
});
