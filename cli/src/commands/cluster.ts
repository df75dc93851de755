/** `holdfast cluster …`: make this machine a node (works without an agent), and see the cluster through the agent. */
import type { Command } from 'commander';
import { configureCluster, generateKey, nextSteps } from '../cluster-setup.js';
import type { Client, ClusterView } from '../core.js';
import type { ExitCode } from '../exit-code.js';
import { outcomeOf, Session } from '../session.js';
import { printable } from '../terminal.js';

export function addClusterCommands(program: Command, exit: ExitCode): void {
  const cluster = program
    .command('cluster')
    .summary('set up the cluster and see its nodes')
    .description('The nodes, the networks between them, and the key that they share.');
  addConfig(cluster, exit);
  cluster
    .command('genkey')
    .description(
      'Makes a new cluster key (32 random bytes, mode 0600). All nodes must have the same: copy it, and restart the agents. ' +
        'Until then the ' +
        'nodes do not understand each other. "cluster config" makes the first key by itself.',
    )
    .option('--replace', 'replace the key that is there')
    .action(async (options: { readonly replace?: boolean }, command: Command) => {
      const session = Session.of(command, exit);
      const file = await generateKey(session.options.configDir, options.replace === true);
      session.report({ file }, () => `a new cluster key is in ${file}; copy it to every node and restart the agents`);
    });
  cluster
    .command('state')
    .description('Shows the nodes of the cluster as this node, or those of -H, see them, and the plug-ins of the agent.')
    .action(async (_options: unknown, command: Command) => {
      const session = Session.of(command, exit);
      await session.each(
        (client) => client.cluster(),
        (view) => clusterText(session, view),
      );
    });
  cluster
    .command('confinfo')
    .description('Compares the digests of the cluster configuration and of the applied module configurations on all nodes.')
    .action(async (_options: unknown, command: Command) => {
      const session = Session.of(command, exit);
      await confinfo(session);
    });
}

function addConfig(cluster: Command, exit: ExitCode): void {
  cluster
    .command('config')
    .description(
      'Validates a cluster.xml and installs it on this machine: cluster.xml, cluster.key when there is none yet, and node.json ' +
        'with the name ' +
        'of this node. Works without an agent; a running one must be restarted to see it. Prints what to do on the other nodes.',
    )
    .argument('<file>', 'the cluster.xml')
    .option('--node <name>', 'name of this node (default: the node whose address is on this machine)')
    .addHelpText(
      'after',
      '\nExamples:\n  holdfast cluster config cluster.xml\n  holdfast cluster config /etc/holdfast/cluster.xml --node node2',
    )
    .action(async (file: string, options: { readonly node?: string }, command: Command) => {
      const session = Session.of(command, exit);
      const result = await configureCluster(file, session.options.configDir, options.node, session.options.api);
      session.report(result, () => nextSteps(result, session.options.configDir));
    });
}

function clusterText(session: Session, view: ClusterView): string {
  const { paint } = session;
  const nodes = paint.table(
    ['NODE', 'ADDRESS', 'STATE', 'CONFIGURATION'],
    view.nodes.map(({ name, address, reachable, digest }) => [
      `${printable(name)}${name === view.node ? ' (asked)' : ''}`,
      address,
      reachable ? paint.as('green', 'reachable') : paint.as('red', 'unreachable'),
      digest === undefined
        ? 'unknown'
        : digest === view.digest
          ? `${digest.slice(0, 12)} same`
          : paint.as('red', `${digest.slice(0, 12)} different`),
    ]),
  );
  const plugins = paint.table(
    ['PLUG-IN', 'VERSION', 'STATE', 'ERROR'],
    view.plugins.map(({ id, version, state, error }) => [
      printable(id),
      printable(version),
      printable(state),
      error === undefined ? '' : paint.as('red', printable(error)),
    ]),
  );
  return [nodes, ...(plugins === '' ? [] : ['', plugins])].join('\n');
}

interface Digests {
  readonly cluster: string;
  readonly modules: Readonly<Record<string, string>>;
}

async function digestsOf(client: Client): Promise<Digests> {
  const [cluster, modules] = await Promise.all([client.cluster(), client.modules()]);
  const views = await Promise.all(modules.map(({ module }) => client.module(module)));
  return { cluster: cluster.digest, modules: Object.fromEntries(views.map((view) => [view.module, view.configuration.applied])) };
}

async function confinfo(session: Session): Promise<void> {
  const client = await session.client();
  const names = (await session.nodes()) ?? (await client.cluster()).nodes.map(({ name }) => name);
  const nodes = await Promise.all(names.map((node) => outcomeOf(node, digestsOf(client.onNode(node)))));
  if (nodes.some(({ error }) => error !== undefined)) session.exit.code = 1;
  const subjects = ['cluster', ...new Set(nodes.flatMap(({ result }) => Object.keys(result?.modules ?? {})))];
  const configurations = subjects.map((subject) => {
    const digests = nodes.flatMap(({ result }) =>
      result === undefined ? [] : [subject === 'cluster' ? result.cluster : (result.modules[subject] ?? '')],
    );
    return { subject, same: new Set(digests).size === 1 };
  });
  session.report({ same: configurations.every(({ same }) => same), configurations, nodes }, () => {
    const { paint } = session;
    return paint.table(
      ['CONFIGURATION', 'NODES', ...names],
      configurations.map(({ subject, same }) => [
        subject === 'cluster' ? 'cluster' : `module ${printable(subject)}`,
        same ? paint.as('green', 'same') : paint.as('red', 'different'),
        ...nodes.map(({ result, error }) => {
          if (error !== undefined || result === undefined) return paint.as('red', 'no answer');
          const digest = subject === 'cluster' ? result.cluster : result.modules[subject];
          return digest === undefined ? 'not installed' : digest.slice(0, 12) || 'not configured';
        }),
      ]),
    );
  });
}
