/** `holdfast module …`: install, list, configure, uninstall. */
import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import type { ExitCode } from '../exit-code.js';
import { type ModuleOption, moduleOf, moduleOption, naturalNumber } from '../options.js';
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
    .summary('install, list, configure, uninstall modules')
    .description('Application modules: module.json, conf/userconfig.xml and scripts in a folder.');
  addInstall(module, exit);
  addConfig(module, exit);
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

function addConfig(module: Command, exit: ExitCode): void {
  module
    .command('config')
    .description('Validates the userconfig.xml of a module and applies it on this node. Each problem is shown with its line.')
    .addOption(moduleOption())
    .option('--check', 'only validate')
    .addHelpText('after', "\nExamples:\n  holdfast module config -m ledger --check\n  holdfast -H '*' module config -m ledger")
    .action(async (options: ModuleOption & { readonly check?: boolean }, command: Command) => {
      const name = moduleOf(options);
      await Session.of(command, exit).each(
        (client) => client.configure(name, options.check === true ? { check: true } : {}),
        ({ digest, warnings }) =>
          [
            ...warnings.map((warning) => `warning: ${printable(warning)}`),
            options.check === true ? `${name}: the configuration is valid` : `${name} is configured, digest ${digest}`,
          ].join('\n'),
      );
    });
}
