/** `holdfast agent`: the agent itself, in the foreground, as the service manager runs it. */
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Command, Option } from 'commander';
import { loadCore } from '../core.js';
import type { ExitCode } from '../exit-code.js';
import { collected, parsePlace } from '../options.js';
import { productPlugins } from '../product-plugins.js';
import { Session } from '../session.js';
import { untilSignal } from '../signals.js';

/** What scripts of modules find in SAFE. */
const TOOLS = fileURLToPath(new URL('../../../safe', import.meta.url));

interface AgentCommandOptions {
  readonly plugins?: readonly string[];
  readonly listen: { readonly host: string; readonly port: number };
  readonly logLevel: string;
}

export function addAgentCommand(program: Command, exit: ExitCode): void {
  program
    .command('agent')
    .summary('run the agent in the foreground')
    .description(
      'Runs the agent of this machine in the foreground until SIGTERM or SIGINT. The service manager does this; by hand it is for tests. ' +
        'Needs "holdfast cluster config" first. Its diagnostics go to stderr.',
    )
    .addOption(new Option('--plugins <folder>', "folder of plug-ins, repeatable (default: the product's own)").argParser(collected))
    .addOption(
      new Option('--listen <host:port>', 'where the API of this machine listens')
        .argParser(parsePlace)
        .default({ host: '127.0.0.1', port: 9010 }, '127.0.0.1:9010'),
    )
    .addOption(new Option('--log-level <level>', 'diagnostics on stderr').choices(['debug', 'info', 'warn', 'error']).default('info'))
    .addHelpText(
      'after',
      '\nExamples:\n  holdfast agent\n  holdfast --config-dir /tmp/n1/etc --state-dir /tmp/n1/var agent --listen 127.0.0.1:9110',
    )
    .action(async (options: AgentCommandOptions, command: Command) => {
      const { configDir, stateDir } = Session.of(command, exit).options;
      // The reader of the log may go away (journald restarts); the agent stays.
      for (const stream of [process.stdout, process.stderr]) stream.removeAllListeners('error').on('error', () => undefined);
      const { runAgent } = await loadCore();
      // From here on: a signal while the agent starts stops it in good order once it has started.
      const signalled = untilSignal();
      const agent = await runAgent({
        configDirectory: resolve(configDir),
        stateDirectory: resolve(stateDir),
        pluginDirectories: (options.plugins ?? productPlugins()).map((folder) => resolve(folder)),
        listen: options.listen,
        toolDirectory: TOOLS,
        logLevel: options.logLevel,
      });
      // A second signal ends the process at once: the handlers are gone by then.
      await signalled;
      await agent.close();
    });
}
