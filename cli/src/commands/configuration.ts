/** `holdfast module config`, `info`, `diff`, `rollback`, `confcheck`, `deconfig`, and the short forms `config`, `confinfo`, … */
import { type Command, Option } from 'commander';
import { HoldfastError } from '@holdfast/sdk';
import { configuredText, differenceText, infoText } from '../configuration-view.js';
import type { ConfigureOptions } from '../core.js';
import type { ExitCode } from '../exit-code.js';
import { type ModuleOption, moduleOf, moduleOption, naturalNumber } from '../options.js';
import { Session } from '../session.js';

/** A node may run a module's own check, and start what watches it. */
const APPLY_TIMEOUT_MS = 90_000;

interface ApplyOptions extends ModuleOption {
  readonly check?: boolean;
  readonly dryRun?: boolean;
  readonly local?: boolean;
  readonly both?: boolean;
  readonly to?: number;
}

const BOTH =
  'If the other node is reached, both take it or none: each checks and stores it, then both apply it; a node that fails in between ' +
  'does when it is back what the other one decided. If it is not reached, this node alone takes it, and both say that they differ: ' +
  'repeat the command then. The source folder of the other node follows; edits there that were never applied are kept aside and named. ' +
  '-H applies on each named node its own folder, by itself.';

const LIVE =
  'A module that runs takes at once: boot, boot_delay, failover, defaultprim, maxloop, loop_interval; pulse, and a longer timeout of ' +
  '<heart>; <user>, its variables and the scripts; <errd> and <check>, where what has not changed is watched on undisturbed; limit and ' +
  'undecided of <witness>; reiallowedbw, verifyevery and verifyallowedbw of <rfs>. Then bin/update is called, if there is one. Whatever ' +
  'else differs is refused by name, with what must be stopped first, and nothing is changed.';

/** @param place `top`: the short forms, under the names that existing scripts use. */
export function addConfigurationCommands(parent: Command, exit: ExitCode, place: 'module' | 'top'): void {
  const prefix = place === 'module' ? 'holdfast module' : 'holdfast';
  addConfig(parent, exit, prefix);
  addCheck(parent, exit, prefix);
  addInfo(parent, exit, prefix, place === 'module' ? 'info' : 'confinfo');
  if (place === 'module') {
    addDifference(parent, exit, prefix);
    addRollback(parent, exit, prefix);
  }
  addDeconfig(parent, exit, prefix);
}

function placeOptions(command: Command): Command {
  return command
    .addOption(moduleOption())
    .addOption(new Option('--dry-run', 'say what would change, and whether it could be applied; change nothing'))
    .addOption(new Option('--both', 'both nodes, where the other one is reached (the default)').conflicts('local'))
    .addOption(new Option('--local', 'this node alone, whatever the other one has'));
}

async function apply(command: Command, exit: ExitCode, options: ApplyOptions, verb: 'configure' | 'rollback'): Promise<void> {
  const module = moduleOf(options);
  const session = Session.of(command, exit);
  await session.client(APPLY_TIMEOUT_MS);
  const isLocal = options.local === true || session.options.hosts !== undefined;
  const wanted: ConfigureOptions = {
    ...(options.check === true ? { check: true } : {}),
    ...(options.dryRun === true ? { dryRun: true } : {}),
    ...(isLocal ? { local: true } : {}),
  };
  await session.each(
    (client) =>
      verb === 'configure'
        ? client.configure(module, wanted)
        : client.configurations.rollback(module, { ...wanted, ...(options.to === undefined ? {} : { to: options.to }) }),
    (result) => {
      if (result.peer?.outcome === 'failed') exit.code = 1;
      return configuredText(session.paint, result);
    },
  );
}

function addConfig(parent: Command, exit: ExitCode, prefix: string): void {
  placeOptions(parent.command('config'))
    .summary('apply the edited configuration of a module')
    .description(
      `Checks the folder of a module (conf/userconfig.xml, bin/) and applies it. Each problem is shown with its line. ${BOTH}\n\n${LIVE}`,
    )
    .option('--check', 'only validate, on this node')
    .addHelpText(
      'after',
      `\nExamples:\n  ${prefix} config -m ledger --dry-run     what would change, and could it be applied now?\n` +
        `  ${prefix} config -m ledger               apply it on both nodes\n  ${prefix} config -m ledger --check`,
    )
    .action((options: ApplyOptions, command: Command) => apply(command, exit, options, 'configure'));
}

function addCheck(parent: Command, exit: ExitCode, prefix: string): void {
  parent
    .command('confcheck')
    .summary('validate the edited configuration of a module')
    .description('Validates the folder of a module on this node and changes nothing: the same as config --check.')
    .addOption(moduleOption())
    .addHelpText('after', `\nExamples:\n  ${prefix} confcheck -m ledger`)
    .action((options: ModuleOption, command: Command) => apply(command, exit, { ...options, check: true }, 'configure'));
}

function addInfo(parent: Command, exit: ExitCode, prefix: string, name: 'info' | 'confinfo'): void {
  parent
    .command(name)
    .summary('edited and applied configuration of a module')
    .description(
      'Prints signature and date of the configuration that was edited and of the one that is applied, whether they differ, what the ' +
        'other node has, and the configurations that are kept for a rollback. The digest is of what the configuration means, the ' +
        'signature of its files: a comment changes the second alone.',
    )
    .addOption(moduleOption())
    .addHelpText('after', `\nExamples:\n  ${prefix} ${name} -m ledger`)
    .action(async (options: ModuleOption, command: Command) => {
      const session = Session.of(command, exit);
      const module = moduleOf(options);
      await session.each(
        (client) => client.configurations.view(module),
        (view) => infoText(session.paint, view),
      );
    });
}

interface DifferenceOptions extends ModuleOption {
  readonly with?: string;
}

function addDifference(parent: Command, exit: ExitCode, prefix: string): void {
  parent
    .command('diff')
    .summary('what differs between two configurations')
    .description(
      'Prints the difference of userconfig.xml, from the applied one to the edited one, and the scripts and other files that differ. ' +
        'With --with, from a configuration that is kept, or from the one of the other node, to the applied one. ' +
        'Exit status 0: no difference, 1: they differ, 2: they could not be compared.',
    )
    .addOption(moduleOption())
    .addOption(new Option('--with <which>', 'number of a kept configuration (see info), or name of the other node'))
    .addHelpText(
      'after',
      `\nExamples:\n  ${prefix} diff -m ledger\n  ${prefix} diff -m ledger --with 3\n  ${prefix} diff -m ledger --with node2`,
    )
    .action(async (options: DifferenceOptions, command: Command) => {
      const session = Session.of(command, exit);
      const module = moduleOf(options);
      try {
        await session.each(
          (client) => client.configurations.difference(module, options.with === undefined ? {} : { with: options.with }),
          (difference) => {
            if (!difference.same) exit.code = Math.max(exit.code, 1);
            return differenceText(difference);
          },
        );
      } catch (error) {
        if (error instanceof HoldfastError) exit.code = 2;
        throw error;
      }
    });
}

function addRollback(parent: Command, exit: ExitCode, prefix: string): void {
  placeOptions(parent.command('rollback'))
    .summary('go back to a configuration that was applied before')
    .description(
      'Applies a kept configuration again, like config, and makes it the source. The three that were applied before the present one are ' +
        'kept. Edits that were never applied are kept aside and named.',
    )
    .addOption(new Option('--to <number>', 'which one (see info); default: the one before').argParser(naturalNumber(1, 1_000_000_000)))
    .addHelpText('after', `\nExamples:\n  ${prefix} rollback -m ledger --dry-run\n  ${prefix} rollback -m ledger --to 3`)
    .action((options: ApplyOptions, command: Command) => apply(command, exit, options, 'rollback'));
}

function addDeconfig(parent: Command, exit: ExitCode, prefix: string): void {
  parent
    .command('deconfig')
    .summary('take the configuration of a stopped module away')
    .description(
      'The module is installed and not configured after it, on this node. Refused while it runs: stop it first. Its source, its data and ' +
        'the configurations that are kept stay; config or rollback configures it again.',
    )
    .addOption(moduleOption())
    .addHelpText('after', `\nExamples:\n  ${prefix} deconfig -m ledger`)
    .action(async (options: ModuleOption, command: Command) => {
      const module = moduleOf(options);
      await Session.of(command, exit).each(
        async (client) => {
          await client.configurations.deconfigure(module);
          return { module, deconfigured: true };
        },
        () => `${module} is not configured any more`,
      );
    });
}
