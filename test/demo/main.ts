/**
 * `npm run demo`: a cluster of two whole nodes and a client on this machine, a client that never stops writing, and everything that can go
 * wrong in a server room, live. Exits 1 when an acknowledged write was lost or the copies differ.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import { HoldfastError, messageOf } from '@holdfast/sdk';
import { BALANCER, behindBalancer, LabBalancer, ledgerBehindBalancer } from '../lab/balancer.js';
import { HOLDFAST, LabCluster } from '../lab/cluster.js';
import { missingPackages } from '../lab/tools.js';
import { LabWitness } from '../lab/witness.js';
import { PLAYS, type Play, playActs, type ActResult } from './acts.js';
import { WorkloadClient } from '../lab/workload-client.js';
import { APPLICATIONS, VIRTUAL_IP, withMacros, type Application } from './applications.js';
import { compareNodes } from './still.js';
import { Timeline } from './timeline.js';

/** Shorter gaps are the application's ordinary latency on a busy machine. */
const OUTAGE_MS_MIN = 150;
const WITNESS_MS = 30_000;
const BALANCED_NEEDS = [
  { package: 'haproxy', file: '/usr/sbin/haproxy' },
  { package: 'nftables', file: '/usr/sbin/nft' },
];
const POSTGRESQL_DEFAULTS = '/etc/postgresql-common/createcluster.conf';

const HELP = `Usage: npm run demo -- [options]

Brings up two nodes and a client on this machine (namespaces; root is needed, nothing is left behind), protects an application, and shows
power cut, failback, swap, stop and start under a client that writes all the time.

  --app ledger|postgresql   application to protect (default: ledger; postgresql installs Debian's postgresql-15 when missing)
  --act all|partition|loadbalancer
                            partition: network cuts with a witness that excludes two primaries; loadbalancer: nodes in two subnets, the
                            client comes through HAProxy, which asks each node whether it is ready (default: all)
  --json                    one JSON object as the last line: ok, acknowledged, lost, identical, acts
  --keep                    leave the cluster up at the end until Ctrl-C, and say how to look at it
  --calm SECONDS            how long the client writes undisturbed around each act (default: 1.5)
  --logs FOLDER             keep the output of every process there
  --help                    this text

Exit status: 0 nothing lost and both copies identical, 1 otherwise.
`;

interface Options {
  readonly application: Application;
  readonly play: Play;
  readonly json: boolean;
  readonly keep: boolean;
  readonly calmMs: number;
  readonly logs?: string;
}

function optionsOf(argv: readonly string[]): Options | undefined {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      app: { type: 'string', default: 'ledger' },
      act: { type: 'string', default: 'all' },
      json: { type: 'boolean', default: false },
      keep: { type: 'boolean', default: false },
      calm: { type: 'string', default: '1.5' },
      logs: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return undefined;
  const application = APPLICATIONS[values.app];
  if (application === undefined) {
    throw new HoldfastError('HF_DEMO_APPLICATION', `--app ${values.app} is unknown; there are ${Object.keys(APPLICATIONS).join(' and ')}`);
  }
  const play = PLAYS[values.act];
  if (play === undefined) {
    throw new HoldfastError('HF_DEMO_ACT', `--act ${values.act} is unknown; there are ${Object.keys(PLAYS).join(' and ')}`);
  }
  if (play.balanced === true && application.service !== 'ledger') {
    throw new HoldfastError('HF_DEMO_ACT', `--act ${values.act} is played with the ledger; leave --app ${values.app} out`);
  }
  const calmMs = Number(values.calm) * 1000;
  if (!(calmMs > 0)) throw new HoldfastError('HF_DEMO_CALM', `--calm ${values.calm} is not a number of seconds`);
  return { application, play, json: values.json, keep: values.keep, calmMs, ...(values.logs === undefined ? {} : { logs: values.logs }) };
}

/** @throws HoldfastError HF_DEMO_INSTALL naming what to install by hand */
function installMissing({ application, play }: Options, say: (text: string) => void): void {
  const needs = [...(application.needs === undefined ? [] : [application.needs]), ...(play.balanced === true ? BALANCED_NEEDS : [])];
  const packages = [...missingPackages(), ...needs.filter(({ file }) => !existsSync(file)).map((need) => need.package)];
  if (packages.length === 0) return;
  say(`installing ${packages.join(', ')} (apt-get)`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  try {
    // A database package must not start a database of its own on this machine.
    if (!existsSync(POSTGRESQL_DEFAULTS)) {
      mkdirSync(dirname(POSTGRESQL_DEFAULTS), { recursive: true });
      writeFileSync(POSTGRESQL_DEFAULTS, 'create_main_cluster = false\n');
    }
    execFileSync('apt-get', ['update', '-q'], { env, stdio: ['ignore', 'ignore', 'inherit'] });
    execFileSync('apt-get', ['install', '-yq', '--no-install-recommends', ...packages], { env, stdio: ['ignore', 'ignore', 'inherit'] });
  } catch (error) {
    throw new HoldfastError('HF_DEMO_INSTALL', `${messageOf(error)}; install ${packages.join(' ')} and start the demo again`, { packages });
  }
}

interface Outcome {
  readonly ok: boolean;
  readonly application: string;
  readonly acknowledged: number;
  readonly lost: number;
  readonly identical: boolean;
  readonly acts: readonly ActResult[];
}

async function perform(options: Options, timeline: Timeline): Promise<Outcome> {
  const { application, play } = options;
  installMissing(options, (text) => {
    timeline.announce(text);
  });
  const host = play.balanced === true ? BALANCER : VIRTUAL_IP;
  const where = play.balanced === true ? 'in two subnets, and a client; HAProxy on the router between them' : 'and a client';
  timeline.announce(`two nodes, n1 and n2, ${where}; ${application.module} behind ${host}, ${application.directory} replicated`);
  const cluster = await LabCluster.create({
    module: application.module,
    directories: [application.directory],
    edit: (xml) => {
      const text = withMacros(xml, application.macros);
      if (play.balanced === true) return ledgerBehindBalancer(text);
      return play.witness === true ? LabWitness.element(text) : text;
    },
    onObservation: (observation) => {
      timeline.observe(observation);
    },
    ...(play.balanced === true ? behindBalancer(['client']) : {}),
    ...(options.logs === undefined ? {} : { keepLogs: options.logs }),
  });
  const end = (signal: NodeJS.Signals): void => {
    void cluster.close().finally(() => process.exit(signal === 'SIGINT' ? 130 : 143));
  };
  process.once('SIGINT', end);
  process.once('SIGTERM', end);
  try {
    const witness = play.witness === true ? await LabWitness.start(cluster) : undefined;
    await cluster.startBoth();
    if (play.balanced === true) await LabBalancer.start(cluster);
    await witness?.waitUntilCountedOn(['n1', 'n2'], WITNESS_MS);
    const workload = WorkloadClient.start(cluster.lab.client, application.service, { host, outageMs: OUTAGE_MS_MIN });
    const ticker = setInterval(() => {
      timeline.progress(`${workload.acknowledged} writes acknowledged`);
    }, 200);
    const announce = (text: string): void => {
      timeline.announce(text);
    };
    const stage = { cluster, workload, announce, calmMs: options.calmMs };
    const acts = await playActs(stage, play.acts).finally(() => {
      clearInterval(ticker);
    });
    const { acknowledged, lost, lostExamples, problem } = await workload.finish();
    const comparison = await compareNodes(cluster, application);
    timeline.table(acts);
    timeline.say(`writes acknowledged: ${acknowledged}`);
    timeline.say(`writes lost:         ${problem === undefined ? lost : `unknown: ${problem}`}`);
    for (const example of lostExamples) timeline.say(`  ${example}`);
    timeline.say(
      `copies compared:     ${comparison.objects} objects, ${comparison.bytes} bytes: ${comparison.identical ? 'identical' : 'DIFFERENT'}`,
    );
    for (const difference of comparison.differences) timeline.say(`  ${difference}`);
    if (options.keep) await keep(cluster, timeline);
    const ok = problem === undefined && lost === 0 && acknowledged > 0 && comparison.identical;
    return { ok, application: application.name, acknowledged, lost, identical: comparison.identical, acts };
  } finally {
    process.removeListener('SIGINT', end);
    process.removeListener('SIGTERM', end);
    await cluster.close();
  }
}

async function keep(cluster: LabCluster, timeline: Timeline): Promise<void> {
  timeline.say(`\n${cluster.lab.describe()}`);
  timeline.say(
    `\nInside a node:  ${HOLDFAST} state   |   ${HOLDFAST} log -m ${cluster.module} -f   |   ${HOLDFAST} swap -m ${cluster.module}`,
  );
  timeline.say('Ctrl-C ends the cluster.');
  await new Promise<void>((resolve) => {
    process.removeAllListeners('SIGINT');
    process.once('SIGINT', () => {
      resolve();
    });
  });
}

try {
  const options = optionsOf(process.argv.slice(2));
  if (options === undefined) {
    process.stdout.write(HELP);
  } else {
    const out = options.json ? process.stderr : process.stdout;
    const timeline = new Timeline(out, out.isTTY);
    const outcome = await perform(options, timeline);
    if (options.json) process.stdout.write(`${JSON.stringify(outcome)}\n`);
    process.exitCode = outcome.ok ? 0 : 1;
  }
} catch (error) {
  process.stderr.write(`demo: ${messageOf(error)}\n`);
  if (process.argv.includes('--json')) process.stdout.write(`${JSON.stringify({ ok: false, error: messageOf(error) })}\n`);
  process.exitCode = 1;
}
