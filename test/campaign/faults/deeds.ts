/**
 * How each fault is done, and undone. A deed meets nodes in any state, because another one may be under way: one that finds nothing to do
 * (no power, no agent) does nothing. Faults of the network end together, when the last deed of a fault has ended.
 */
import { rm } from 'node:fs/promises';
import { HOLDFAST } from '../../lab/cluster.js';
import { sendSignal } from '../../lab/host-process.js';
import type { Deed, Kind, Role } from './plan.js';
import type { Stage } from './stage.js';

/** Who was what when the fault began. */
export type Roles = Readonly<Record<Role, string>>;

type Undo = () => Promise<void>;
type Act = (stage: Stage, deed: Deed, roles: Roles) => Promise<Undo>;

const HEARTBEAT_PORT = 8888;
/** The first and the second connection between the replicators. */
const REPLICATION_PORTS = [5600, 5601, 5602, 5603];
const LOSS_PERCENT = 30;
const DAY_MS = 86_400_000;
/** An agent that sleeps does not answer. */
const OPERATOR_MS = 5000;
const NOTHING: Undo = async () => {};
/** Leaves nothing: what remains of the last block is smaller than any request of the ledger's file. */
const FILL = `
free=$(df --output=avail -B1 /srv | tail -1)
[ "$free" -le 4194304 ] || fallocate -l $((free - 4194304)) /srv/filler
dd if=/dev/zero of=/srv/filler bs=64k oflag=append conv=notrunc 2>/dev/null
sync /srv/filler
`;

const power =
  (...victims: readonly Role[]): Act =>
  async (stage, _deed, roles) => {
    const nodes = victims.map((role) => roles[role]);
    await Promise.all(nodes.map((node) => stage.cutPower(node)));
    return async () => {
      await Promise.all(nodes.map((node) => stage.bringUp(node)));
    };
  };

const agentKill =
  (role: Role): Act =>
  async (stage, _deed, roles) => {
    const agent = stage.cluster.agent(roles[role]);
    agent?.signal('SIGKILL');
    await agent?.finished;
    return () => stage.bringUp(roles[role]);
  };

const replicatorKill =
  (role: Role): Act =>
  async (stage, _deed, roles) => {
    for (const { hostPid, command } of stage.cluster.machine(roles[role]).pids()) {
      if (command.includes('replication-files') && command.includes('process/main.js')) sendSignal(hostPid, 'SIGKILL');
    }
    return NOTHING;
  };

const sleep =
  (role: Role): Act =>
  async (stage, _deed, roles) => {
    const node = roles[role];
    const machine = stage.cluster.machine(node);
    if (!machine.powered) return NOTHING;
    stage.asleep.add(node);
    await machine.pause();
    return async () => {
      if (stage.asleep.delete(node)) await machine.resume();
    };
  };

const agentSleep =
  (role: Role): Act =>
  async (stage, _deed, roles) => {
    const agent = stage.cluster.agent(roles[role]);
    agent?.signal('SIGSTOP');
    return async () => agent?.signal('SIGCONT');
  };

const isolate =
  (role: Role): Act =>
  async (stage, _deed, roles) => {
    await stage.cluster.lab.network.isolate(roles[role]);
    return NOTHING;
  };

const delay =
  (role: Role): Act =>
  async (stage, { choice }, roles) => {
    if (!stage.cluster.machine(roles[role]).powered) return NOTHING;
    const delayMs = Math.round(10 + choice * 140);
    await stage.cluster.lab.network.slow(roles[role], { delayMs, jitterMs: delayMs / 2 });
    return NOTHING;
  };

const diskFull =
  (role: Role): Act =>
  async (stage, _deed, roles) => {
    const node = roles[role];
    const machine = stage.cluster.machine(node);
    if (!machine.powered) return NOTHING;
    await machine.exec(['sh', '-c', FILL]);
    return () => rm(stage.filler(node), { force: true });
  };

const diskFailure =
  (role: Role): Act =>
  async (stage, _deed, roles) => {
    const node = roles[role];
    if (!stage.cluster.machine(node).powered) return NOTHING;
    stage.broken.add(node);
    await stage.cluster.machine(node).failDisk();
    return async () => {
      if (stage.broken.has(node)) await stage.cutPower(node);
      await stage.bringUp(node);
    };
  };

const clock =
  (role: Role): Act =>
  async (stage, { choice }, roles) => {
    const node = roles[role];
    if (!stage.cluster.machine(node).powered) return NOTHING;
    const days = choice < 0.5 ? -30 * (1 - choice) : 400 * choice;
    await stage.shiftClock(node, Math.round(days * DAY_MS));
    return async () => {
      if (stage.cluster.machine(node).powered) await stage.shiftClock(node, 0);
    };
  };

/** An operator's command; that it is refused in the middle of a fault is an answer. */
const operator =
  (role: Role, verbs: readonly ['swap' | 'restart' | 'stop', 'start'?]): Act =>
  async (stage, _deed, roles) => {
    const [verb, later] = verbs;
    const { cluster } = stage;
    const machine = cluster.machine(roles[role]);
    const command = async (word: typeof verb | 'start'): Promise<void> => {
      if (!machine.powered) return;
      await machine.exec([process.execPath, HOLDFAST, word, '-m', cluster.module], { timeoutMs: OPERATOR_MS });
    };
    await command(verb);
    return later === undefined ? NOTHING : () => command(later);
  };

const cut =
  (options: (deed: Deed) => readonly Parameters<Stage['cluster']['lab']['network']['cut']>[2][]): Act =>
  async (stage, deed, { primary, secondary }) => {
    for (const each of options(deed)) await stage.cluster.lab.network.cut(primary, secondary, each);
    return NOTHING;
  };

export const ACTS: Readonly<Record<Kind, Act>> = {
  'power-primary': power('primary'),
  'power-secondary': power('secondary'),
  'power-both': power('primary', 'secondary'),
  'agent-kill-primary': agentKill('primary'),
  'agent-kill-secondary': agentKill('secondary'),
  'replicator-kill-primary': replicatorKill('primary'),
  'replicator-kill-secondary': replicatorKill('secondary'),
  'sleep-primary': sleep('primary'),
  'sleep-secondary': sleep('secondary'),
  'agent-sleep-primary': agentSleep('primary'),
  'agent-sleep-secondary': agentSleep('secondary'),
  'cut-nodes': cut(() => [{}]),
  'cut-one-way': cut(({ choice }) => [{ direction: choice < 0.5 ? 'a-to-b' : 'b-to-a' }]),
  'cut-network': cut(({ choice }) => [{ network: choice < 0.6 ? 1 : 2 }]),
  'cut-heartbeats': cut(() => [{ only: { protocol: 'udp', port: HEARTBEAT_PORT, answersToo: true } }]),
  'cut-replication': cut(() => REPLICATION_PORTS.map((port) => ({ only: { protocol: 'tcp', port, answersToo: true } }))),
  'isolate-primary': isolate('primary'),
  'isolate-secondary': isolate('secondary'),
  loss: cut(() => [{ lossPercent: LOSS_PERCENT }]),
  'delay-primary': delay('primary'),
  'delay-secondary': delay('secondary'),
  'disk-full-primary': diskFull('primary'),
  'disk-full-secondary': diskFull('secondary'),
  'disk-failure-primary': diskFailure('primary'),
  'disk-failure-secondary': diskFailure('secondary'),
  'clock-primary': clock('primary'),
  'clock-secondary': clock('secondary'),
  'witness-kill': async ({ witness }) => {
    await witness.kill();
    return async () => {
      if (!witness.running) await witness.restart();
    };
  },
  'witness-cut': async ({ cluster }) => {
    await cluster.lab.network.isolate('witness');
    return NOTHING;
  },
  swap: operator('primary', ['swap']),
  restart: operator('primary', ['restart']),
  'stop-start-primary': operator('primary', ['stop', 'start']),
  'stop-start-secondary': operator('secondary', ['stop', 'start']),
};
