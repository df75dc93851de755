/** `holdfast errd` and `holdfast set`: what scripts tell the agent about the checks of their module. */
import { HoldfastError } from '@holdfast/sdk';
import { Argument, type Command, Option } from 'commander';
import type { OutsideVerdict } from '../core.js';
import type { ExitCode } from '../exit-code.js';
import { type ModuleOption, moduleOf, moduleOption } from '../options.js';
import { Session } from '../session.js';
import { switchMaintenance } from './maintenance.js';

const VALUES: readonly OutsideVerdict['value'][] = ['up', 'down', 'unknown'];

interface SetOptions extends ModuleOption {
  readonly resource: string;
  readonly value: OutsideVerdict['value'];
  readonly detail?: string;
  readonly identity?: string;
  readonly nohistory?: boolean;
  readonly force?: boolean;
}

export function addCheckCommands(program: Command, exit: ExitCode): void {
  program
    .command('errd')
    .summary('watch processes or not, or a class of them')
    .description(
      'off suspends the watch over the processes of the module (<errd>), until on resumes it, over stop, start and reboot. ' +
        'enable and disable concern the <proc> elements of a class of their own. ' +
        'Processes of the classes prim, both, pre, second and sec are ' +
        'watched from after the start script of that role until before its stop script; those of any other class only while it is ' +
        'enabled. What a role enabled ends with the role.',
    )
    .addArgument(new Argument('<switch>', 'what to do').choices(['on', 'off', 'enable', 'disable']))
    .argument('[class]', 'of enable and disable: the class, as in <proc class="…">')
    .addOption(moduleOption())
    .addHelpText(
      'after',
      "\nExamples:\n  holdfast -H '*' errd off -m ledger\n  holdfast errd enable nightly -m ledger\n" +
        '  holdfast errd disable nightly -m ledger',
    )
    .action(async (verb: string, name: string | undefined, options: ModuleOption, command: Command) => {
      const session = Session.of(command, exit);
      const module = moduleOf(options);
      if (verb === 'on' || verb === 'off') return switchMaintenance(session, module, 'errd', verb);
      if (name === undefined) throw new HoldfastError('HF_CLI_USAGE', `errd ${verb} needs the name of a class`);
      const enabled = verb === 'enable';
      await session.each(
        (client) => client.switchChecks(module, { class: name, enabled }),
        () => `class ${name} of ${module} is ${enabled ? 'enabled' : 'disabled'}`,
      );
    });
  program
    .command('set')
    .summary('say whether a resource is up or down')
    .description(
      'Sets a resource whose checker is a script of the module (<custom>), for the endless script itself or for another program.',
    )
    .addOption(moduleOption())
    .requiredOption('-r, --resource <name>', 'the resource, for example custom.door')
    .addOption(new Option('-v, --value <value>', 'the verdict').choices(VALUES).makeOptionMandatory())
    .option('-d, --detail <text>', 'why, for people')
    .option('-i, --identity <who>', 'who says so: in the log and in the history')
    .option('-n, --nohistory', 'leave it out of the history')
    .option('-l, --force', 'also a resource that its checker finds out by itself: holds until its next verdict')
    .addHelpText('after', '\nExamples:\n  holdfast set -m ledger -r custom.door -v down -d "the door is open"')
    .action(async (options: SetOptions, command: Command) => {
      const session = Session.of(command, exit);
      const module = moduleOf(options);
      const { resource, value, detail, identity, nohistory, force } = options;
      const verdict: OutsideVerdict = {
        resource,
        value,
        ...(detail === undefined ? {} : { detail }),
        ...(identity === undefined ? {} : { identity }),
        ...(nohistory === true ? { unrecorded: true } : {}),
        ...(force === true ? { force: true } : {}),
      };
      await session.each(
        (client) => client.setResource(module, verdict),
        () => `${resource} is ${value}`,
      );
    });
}
