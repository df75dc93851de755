/** PostgreSQL through power cuts: every commit that a client saw is there, indexes and checksums hold, both copies are the same. */
import { existsSync } from 'node:fs';
import { HoldfastError } from '@holdfast/sdk';
import { APPLICATIONS, VIRTUAL_IP, withMacros } from '../demo/applications.js';
import { compareNodes } from '../demo/still.js';
import { LabCluster } from '../lab/cluster.js';
import { WorkloadClient } from '../lab/workload-client.js';
import { cutPower, type CampaignOptions, type CampaignOutcome } from './power-cuts.js';

const MORE_MS = 90_000;
const CHECK_MS = 120_000;
const PROGRAMS = '/usr/lib/postgresql/15/bin';
const DATA = '/srv/pgdata/15';

export async function postgresqlCampaign(options: CampaignOptions): Promise<CampaignOutcome> {
  const application = APPLICATIONS['postgresql'];
  if (application === undefined || !existsSync(`${PROGRAMS}/postgres`)) {
    throw new HoldfastError('HF_CAMPAIGN_PROGRAM', `no PostgreSQL in ${PROGRAMS}; apt-get install postgresql-15`);
  }
  const cluster = await LabCluster.create({
    module: application.module,
    directories: [application.directory],
    edit: (xml) => withMacros(xml, { ...application.macros }),
  });
  try {
    await cluster.startBoth();
    const workload = WorkloadClient.start(cluster.lab.client, application.service, { host: VIRTUAL_IP });
    const load = {
      get acknowledged() {
        return workload.acknowledged;
      },
      waitForMore: (count: number) => workload.waitForMore(count, MORE_MS),
    };
    await cutPower(cluster, load, options);
    const { acknowledged, lost, doubled, lostExamples, problem } = await workload.finish();
    const comparison = await compareNodes(cluster, application);
    const problems = [
      ...lostExamples,
      ...comparison.differences,
      ...(problem === undefined ? [] : [problem]),
      ...(doubled === 0 ? [] : [`${doubled} commits are there more than once`]),
      ...(await checkDatabase(cluster)),
    ];
    const { identical } = comparison;
    return { ok: lost === 0 && identical && problems.length === 0, rounds: options.rounds, acknowledged, lost, identical, problems };
  } finally {
    await cluster.close();
  }
}

/** Tables and indexes while it runs, checksums of all pages on both nodes when it does not. */
async function checkDatabase(cluster: LabCluster): Promise<string[]> {
  const problems: string[] = [];
  const primary = cluster.primary() ?? 'n1';
  const check = async (node: string, ...argv: readonly string[]): Promise<void> => {
    const asPostgres = ['setpriv', '--reuid=postgres', '--regid=postgres', '--init-groups', '--', ...argv];
    const { code, stdout, stderr } = await cluster.machine(node).exec(asPostgres, { timeoutMs: CHECK_MS });
    if (code !== 0) problems.push(`${node}: ${argv.slice(0, 2).join(' ')}: ${stdout}${stderr}`.trim());
  };
  const at = ['--host=localhost', '--username=postgres', '--port=5432'];
  await check(
    primary,
    `${PROGRAMS}/pg_amcheck`,
    `--host=${VIRTUAL_IP}`,
    ...at.slice(1),
    '--install-missing',
    '--heapallindexed',
    'postgres',
  );
  const secondary = primary === 'n1' ? 'n2' : 'n1';
  await cluster.command(secondary, 'stop');
  await cluster.command(primary, 'stop');
  await cluster.waitFor({ n1: 'STOP NotReady', n2: 'STOP NotReady' }, CHECK_MS);
  // A clean stop was the last thing that happened to the primary; the other node has what was before.
  await check(primary, `${PROGRAMS}/pg_checksums`, '--check', `--pgdata=${DATA}`);
  return problems;
}
