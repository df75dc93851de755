/**
 * `holdfast witness …`: the witness server on a third machine, and the clusters that it serves. It has nothing to do with an agent; the
 * server itself is part of the plug-in that the nodes ask it with, and is found there.
 */
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { HoldfastError, type WitnessServerProgram, type WitnessedCluster, messageOf } from '@holdfast/sdk';
import { type Command, Option } from 'commander';
import { loadCore, loadDiscovery } from '../core.js';
import type { ExitCode } from '../exit-code.js';
import { type Place, collected, parsePlace } from '../options.js';
import { productPlugins } from '../product-plugins.js';
import { Session } from '../session.js';
import { untilSignal } from '../signals.js';
import { durationText, printable } from '../terminal.js';

const DATA_DEFAULT = '/var/lib/holdfast-witness';
const LISTEN_DEFAULT: Place = { host: '::', port: 9600 };
const PLUGIN = 'witness-http';

interface FolderOptions {
  readonly data: string;
  readonly plugins?: readonly string[];
}

const OVERVIEW = `
A witness decides which of two nodes goes on when they no longer hear each other. It runs on a third machine that fails
independently of both, needs next to nothing (a small virtual machine is enough), and serves hundreds of clusters. When it is
away, nothing happens as long as the nodes see each other.

Set up:
  on the third machine   holdfast witness serve                       (as a service; the plug-in's README has a unit)
                         holdfast witness add site-42 --server witness.example.org
  on both nodes          save the key that it prints as /etc/holdfast/witness.key, mode 0600,
                         put the element that it prints into userconfig.xml, and run "holdfast module config"

Data:
  DIR/clusters/NAME/key                     the cluster's secret, mode 0600
  DIR/clusters/NAME/records.1, records.2    its records, twice; both are written before a node gets an answer
  A backup that is older than the last grant must never be brought back: remove the cluster and add it again instead.`;

export function addWitnessCommands(program: Command, exit: ExitCode): void {
  const witness = program
    .command('witness')
    .summary('run the witness server of a third machine')
    .description('The witness server, and the clusters that may ask it. Works without an agent, on a machine that is no node.')
    .addHelpText('after', OVERVIEW);
  addServe(witness);
  addAdd(witness, exit);
  withFolder(witness.command('remove'))
    .description(
      'Forgets a cluster: its key and its records. A running server refuses its nodes from now on. Added again, with a new key, the ' +
        'cluster has no record, and nothing is granted to it before its nodes were connected once.',
    )
    .argument('<cluster>', 'name of the cluster')
    .action(async (cluster: string, options: FolderOptions, command: Command) => {
      const session = Session.of(command, exit);
      const server = await loadServer(options);
      await server.remove(resolve(options.data), cluster);
      session.report({ cluster, removed: true }, () => `${cluster} is removed; take its <http> element out of userconfig.xml on its nodes`);
    });
  withFolder(witness.command('list'))
    .description('Shows the clusters, when each asked last (written down every ten seconds), and the record of each of its modules.')
    .action(async (options: FolderOptions, command: Command) => {
      const session = Session.of(command, exit);
      const server = await loadServer(options);
      const clusters = await server.list(resolve(options.data));
      session.report({ clusters }, () => listText(session, clusters, options.data));
    });
}

function withFolder(command: Command): Command {
  return command
    .addOption(new Option('--data <folder>', 'folder of keys and records').env('HOLDFAST_WITNESS_DATA').default(DATA_DEFAULT))
    .addOption(new Option('--plugins <folder>', "folder of plug-ins, repeatable (default: the product's own)").argParser(collected));
}

function addServe(witness: Command): void {
  withFolder(witness.command('serve'))
    .summary('run the server in the foreground')
    .description(
      'Serves until SIGTERM or SIGINT. Connections are TLS 1.3 with the key of a cluster; without one nobody gets past the handshake, ' +
        'and nothing expires. Refuses to start, and names the files, when records are damaged in both copies: an empty witness would be ' +
        'believed. One server uses a folder at a time. Its diagnostics go to stderr.',
    )
    .addOption(new Option('--listen <host:port>', 'where nodes reach it').argParser(parsePlace).default(LISTEN_DEFAULT, '[::]:9600'))
    .addOption(
      new Option(
        '--health <host:port>',
        'serve GET /v1/health (JSON) and /metrics (Prometheus) there, unencrypted, for monitoring',
      ).argParser(parsePlace),
    )
    .addOption(new Option('--log-level <level>', 'diagnostics on stderr').choices(['debug', 'info', 'warn', 'error']).default('info'))
    .addHelpText(
      'after',
      '\nExamples:\n  holdfast witness serve\n  holdfast witness serve --listen 192.0.2.50:9600 --health 127.0.0.1:9601',
    )
    .action(async (options: FolderOptions & { readonly listen: Place; readonly health?: Place; readonly logLevel: string }) => {
      // The reader of the log may go away (journald restarts); the server stays.
      for (const stream of [process.stdout, process.stderr]) stream.removeAllListeners('error').on('error', () => undefined);
      const { Diagnostics } = await loadCore();
      const program = await loadServer(options);
      const signalled = untilSignal();
      const server = await program.serve({
        dataDirectory: resolve(options.data),
        listen: options.listen,
        ...(options.health === undefined ? {} : { health: options.health }),
        log: new Diagnostics(hostname(), options.logLevel).of({ component: 'witness' }),
      });
      await signalled;
      await server.close();
    });
}

function addAdd(witness: Command, exit: ExitCode): void {
  withFolder(witness.command('add'))
    .description(
      'Lets a cluster use this witness: makes its key, and prints it once, with what to do on its nodes. A running server knows it ' +
        'at once.',
    )
    .argument('<cluster>', 'a name of your choice: letters, digits, ".", "_" and "-", at most 63')
    .addOption(new Option('--server <host[:port]>', 'name or address of this machine as the nodes see it').default(hostname()))
    .addHelpText(
      'after',
      '\nExamples:\n  holdfast witness add site-42 --server witness.example.org\n' + '  holdfast witness add lab --server 192.0.2.50:9700',
    )
    .action(async (cluster: string, options: FolderOptions & { readonly server: string }, command: Command) => {
      const session = Session.of(command, exit);
      if (!/^[A-Za-z0-9.:[\]_%-]{1,260}$/.test(options.server)) {
        throw new HoldfastError(
          'HF_CLI_USAGE',
          `--server "${options.server}" is no address; write it like witness.example.org or 192.0.2.50:9700`,
        );
      }
      const program = await loadServer(options);
      const added = await program.add(resolve(options.data), cluster);
      const element = added.element(options.server);
      session.report({ cluster, key: added.key, element }, () =>
        [
          `${cluster} may use this witness now. On both of its nodes:`,
          '',
          '1. Save this line as /etc/holdfast/witness.key, and run chmod 600 /etc/holdfast/witness.key (it is not shown again):',
          '',
          added.key,
          '',
          '2. Put this below <service> into userconfig.xml of each module, and run "holdfast module config":',
          '',
          `<witness>${element}</witness>`,
        ].join('\n'),
      );
    });
}

function listText(session: Session, clusters: readonly WitnessedCluster[], folder: string): string {
  if (clusters.length === 0) return `no cluster in ${folder}; "holdfast witness add NAME" adds one`;
  const ago = (at: string | undefined): string => {
    const seconds = (Date.now() - Date.parse(at ?? '')) / 1_000;
    return Number.isFinite(seconds) ? `${durationText(seconds)} ago` : 'never';
  };
  const rows = clusters.flatMap(({ cluster, lastUseAt, modules }): string[][] => {
    const head = [printable(cluster), ago(lastUseAt)];
    if (modules.length === 0) return [[...head, '(not armed yet)', '', '', '', '']];
    return modules.map(({ module, record, changedAt }, index) => [
      ...(index === 0 ? head : ['', '']),
      printable(module),
      printable(record.owner),
      String(record.epoch),
      printable(record.generation),
      ago(changedAt),
    ]);
  });
  return session.paint.table(['CLUSTER', 'LAST USE', 'MODULE', 'OWNER', 'EPOCH', 'GENERATION', 'CHANGED'], rows);
}

/** From the plug-in, after the same checks as an agent makes. */
async function loadServer(options: FolderOptions): Promise<WitnessServerProgram> {
  const { discoverPlugins } = await loadDiscovery();
  const folders = (options.plugins ?? productPlugins()).map((folder) => resolve(folder));
  const plugin = (await discoverPlugins(folders)).find(({ id }) => id === PLUGIN);
  if (plugin === undefined) {
    const message = `the plug-in ${PLUGIN}, which has the server, is not in ${folders.join(', ')}; install it, or give --plugins`;
    throw new HoldfastError('HF_CLI_WITNESS_MISSING', message, { folders });
  }
  if (plugin.state === 'refused') throw plugin.error;
  const { witnessServer } = (await import(pathToFileURL(plugin.main).href).catch((error: unknown) => {
    throw new HoldfastError('HF_CLI_WITNESS_MISSING', `${plugin.main} cannot be loaded: ${messageOf(error)}`, {}, { cause: error });
  })) as { readonly witnessServer?: WitnessServerProgram };
  if (witnessServer === undefined) throw new HoldfastError('HF_CLI_WITNESS_MISSING', `${plugin.main} has no witness server`);
  return witnessServer;
}
