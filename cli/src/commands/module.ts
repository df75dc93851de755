/** `holdfast module …`: install, list, uninstall, forget a damaged state; what is about configurations is in configuration.ts. */
import { resolve } from 'node:path';
import { HoldfastError } from '@holdfast/sdk';
import { type Command, Option } from 'commander';
import type { ExitCode } from '../exit-code.js';
import { addConfigurationCommands } from './configuration.js';
import { naturalNumber } from '../options.js';
import { Session } from '../session.js';
import { printable } from '../terminal.js';

interface InstallOptions {
  readonly module?: string;
  readonly id?: number;
  readonly replace?: boolean;
}

export function addModuleCommands(program: Command, exit: ExitCode): void {
  const module = program
    .command('module')
    .summary('install, configure, list, uninstall modules')
    .description('Application modules: module.json, conf/userconfig.xml and scripts in a folder.');
  addInstall(module, exit);
  addConfigurationCommands(module, exit, 'module');
  module
    .command('list')
    .description('Lists the modules that are installed on this node.')
    .action(async (_options: unknown, command: Command) => {
      const session = Session.of(command, exit);
      await session.each(
        (client) => client.modules(),
        (modules) =>
          modules.length === 0
            ? 'no module is installed; "holdfast module install FOLDER" installs one'
            : session.paint.table(
                ['MODULE', 'ID', 'VERSION', 'CONFIGURED', 'TITLE'],
                modules.map(({ module: name, id, version, configured, edited, title }) => [
                  printable(name),
                  String(id),
                  printable(version),
                  configured ? (edited ? 'yes, edited since' : 'yes') : 'no',
                  printable(title),
                ]),
              ),
      );
    });
  module
    .command('uninstall')
    .description('Removes a stopped module from this node. The replicated directories and their content stay.')
    .requiredOption('-m, --module <name>', 'the module')
    .action(async (options: { readonly module: string }, command: Command) => {
      await Session.of(command, exit).each(
        async (client) => {
          await client.uninstall(options.module);
          return { module: options.module, uninstalled: true };
        },
        () => `${options.module} is uninstalled`,
      );
    });
  addForgetState(module, exit);
}

function addForgetState(module: Command, exit: ExitCode): void {
  module
    .command('forget-state')
    .summary('give up a state that cannot be read')
    .description(
      'Only of a module that is refused because the files of its state are damaged or missing (HF_STATE_DAMAGED), when no intact copy of ' +
        'them exists. The damaged files are kept under other names. The module is stopped then, and its copy of the data counts as ' +
        'older than any: the other node may go on with its own copy by itself, also when that is older. Nothing is overwritten here ' +
        'before you start the module (or the machine, with boot="on"). Then this copy is compared with the other one and overwritten; ' +
        'what is overwritten is kept (holdfast conflicts). If this copy is the good one, run "holdfast prim" here instead of starting.',
    )
    .requiredOption('-m, --module <name>', 'the module')
    .option('--yes', 'this is what you want')
    .action(async (options: { readonly module: string; readonly yes?: boolean }, command: Command) => {
      if (options.yes !== true) {
        const message = `the copy of ${options.module} on this node would count as older than any: read --help, then repeat it with --yes`;
        throw new HoldfastError('HF_CLI_CONFIRM', message);
      }
      await Session.of(command, exit).each(
        (client) => client.forgetState(options.module),
        ({ aside }) =>
          [`the state of ${options.module} is given up, the module is stopped`, ...aside.map((file) => `kept: ${printable(file)}`)].join(
            '\n',
          ),
      );
    });
}

function addInstall(module: Command, exit: ExitCode): void {
  module
    .command('install')
    .description(
      'Installs the module in a folder: copies it to the configuration folder of this node. The module has a number, its id, the same on ' +
        'every node, from which its ports follow. With -H, the folder is one on the other node.',
    )
    .argument('<folder>', 'folder with module.json')
    .option('-m, --module <name>', 'name to install under (default: the one in module.json)')
    .addOption(new Option('--id <number>', 'id of the module (default: the next free one)').argParser(naturalNumber(1, 255)))
    .option('--replace', 'replace an installed module of this name')
    .addHelpText(
      'after',
      '\nExamples:\n  holdfast module install /opt/ledger\n  holdfast module install ./postgresql-mirror -m shopdb --id 3',
    )
    .action(async (folder: string, options: InstallOptions, command: Command) => {
      const { module: name, ...rest } = options;
      await Session.of(command, exit).each(
        (client) => client.install(resolve(folder), { ...rest, ...(name === undefined ? {} : { name }) }),
        (installed) =>
          `${printable(installed.module)} ${printable(installed.version)} is installed with id ${installed.id}; ` +
          `edit its userconfig.xml if needed, then: holdfast module config -m ${printable(installed.module)}`,
      );
    });
}
