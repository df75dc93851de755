/**
 * What watching processes costs and how soon it tells: from the death of a process to its resource being down, through the real agent, and
 * the agent's processor time while nothing happens among many processes.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { LabCluster } from '../lab/cluster.js';
import type { LabMachine } from '../lab/machine.js';
import { waitFor } from '../lab/deadline.js';
import { type Row, single } from './rows.js';

const MODULE = fileURLToPath(new URL('../../bench/bench-mirror', import.meta.url));
const DEATHS = fileURLToPath(new URL('./process-deaths.js', import.meta.url));
const WATCHED = 'holdfast-bench-death';
const RESOURCE = `proc.^${WATCHED} 600`;
const DEATH_MS_MAX = 20;
const PROCESSES = 1000;
const IDLE_MS = 10_000;
/** The kernel counts processor time in hundredths of a second everywhere. */
const TICK_MS = 10;

const ERRD = `<errd><proc argregex="^${WATCHED} 600" action="noaction"/></errd>`;

export async function benchCheckers(rounds: number, progress: (text: string) => void): Promise<Row[]> {
  const cluster = await LabCluster.create({ module: MODULE, clients: [], edit: (xml) => xml.replace(/<rfs[^]*<\/rfs>/, ERRD) });
  try {
    await cluster.command('n1', 'prim');
    await cluster.waitFor({ n1: 'ALONE Ready' }, 60_000);
    const machine = cluster.machine('n1');
    const quiet = await idlePercent(machine);
    progress(`the agent alone takes ${quiet.toFixed(2)} % of a processor`);
    const crowd = machine.spawn(['bash', '-c', `for ((i = 0; i < ${PROCESSES}; i++)); do sleep 600 & done; wait`]);
    await waitFor(`${PROCESSES} processes run`, 60_000, () => machine.pids().length > PROCESSES);
    await delay(3000);
    const crowded = await idlePercent(machine);
    progress(`with ${PROCESSES} processes on the node ${crowded.toFixed(2)} %`);
    const deaths = async (kind: string): Promise<number[]> => {
      const words = [process.execPath, DEATHS, cluster.module, RESOURCE, WATCHED, String(rounds), kind];
      return (await machine.run(words, { timeoutMs: 300_000 })).trim().split('\n').map(Number);
    };
    const daemons = await deaths('daemon');
    const children = await deaths('child');
    crowd.signal('SIGKILL');
    return [
      single(`from the death of a daemon to its resource down, median of ${rounds}`, 'ms', daemons, { atMost: DEATH_MS_MAX }),
      single(`the same while its parent lives, which has 50 ms to start a successor, median of ${rounds}`, 'ms', children),
      single(`agent while nothing happens, ${PROCESSES} processes on the node`, '% of a processor', [crowded]),
      single('agent while nothing happens, a node without them', '% of a processor', [quiet]),
    ];
  } finally {
    await cluster.close();
  }
}

async function idlePercent(machine: LabMachine): Promise<number> {
  const agent = machine.pids().find(({ command }) => /holdfast\.js agent$/.test(command));
  if (agent === undefined) throw new Error('no agent runs');
  const before = processorMs(agent.hostPid);
  await delay(IDLE_MS);
  return ((processorMs(agent.hostPid) - before) / IDLE_MS) * 100;
}

/** User and system time of all threads. */
function processorMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}
