/** `holdfast checker|failover on|off`, and the counter of automatic actions for scripts: incloop, resetloop, checkloop. */
import { Argument, type Command, Option } from 'commander';
import type { LoopView, MaintenanceView } from '../core.js';
import type { ExitCode } from '../exit-code.js';
import { type ModuleOption, moduleOf, moduleOption } from '../options.js';
import { Session } from '../session.js';

const SWITCHES = [
  {
    name: 'checker',
    summary: 'suspend or resume the checkers',
    description:
      'off: no checker of the module runs on this node, and none of their resources has consequences, until on. For maintenance of ' +
      'what they look at.',
  },
  {
    name: 'failover',
    summary: 'suspend or resume the automatic failover',
    description: 'off: a secondary that loses its primary waits instead of taking over, until on; "holdfast prim" still promotes.',
  },
] as const;

export function addMaintenanceCommands(program: Command, exit: ExitCode): void {
  for (const { name, summary, description } of SWITCHES) {
    program
      .command(name)
      .summary(summary)
      .description(`${description} Kept over stop, start and reboot, and shown in the state. On this node; with -H '*' on every node.`)
      .addArgument(new Argument('<switch>', 'what to do').choices(['on', 'off']))
      .addOption(moduleOption())
      .addHelpText('after', `\nExamples:\n  holdfast -H '*' ${name} off -m ledger\n  holdfast -H '*' ${name} on -m ledger`)
      .action(async (verb: 'on' | 'off', options: ModuleOption, command: Command) => {
        await switchMaintenance(Session.of(command, exit), moduleOf(options), name, verb);
      });
  }
}

export async function switchMaintenance(
  session: Session,
  module: string,
  name: MaintenanceView['name'],
  verb: 'on' | 'off',
): Promise<void> {
  await session.each(
    (client) => client.maintain(module, { name, on: verb === 'on' }),
    () => `${name} of ${module} is ${verb}`,
  );
  if (session.options.hosts === undefined) session.note(`on this node only; -H '*' does it on every node`);
}

interface LoopOptions extends ModuleOption {
  readonly identity?: string;
}

/** Exit 1 when the limit is reached: a script that takes automatic actions by itself stops the module then. */
export function addLoopCommands(program: Command, exit: ExitCode): void {
  program
    .command('incloop')
    .summary('count an automatic action that a script takes')
    .description('Counts one more automatic action in maxloop. Exit status 1 when the limit is reached: nothing is counted then.')
    .addOption(moduleOption())
    .addOption(new Option('-i, --identity <who>', 'who takes the action').makeOptionMandatory())
    .addHelpText('after', '\nExamples:\n  holdfast incloop -m ledger -i handler && holdfast restart -m ledger || holdfast stop -m ledger')
    .action(async (options: LoopOptions, command: Command) => {
      const { identity = '' } = options;
      const session = Session.of(command, exit);
      await report(session, options, (client, module) => client.loop(module, { change: 'increment', identity }));
    });
  program
    .command('resetloop')
    .summary('set the count of automatic actions to 0')
    .description('Begins to count automatic actions (maxloop) anew.')
    .addOption(moduleOption())
    .action(async (options: LoopOptions, command: Command) => {
      await report(Session.of(command, exit), options, (client, module) => client.loop(module, { change: 'reset' }));
    });
  program
    .command('checkloop')
    .summary('whether an automatic action is still allowed')
    .description('Exit status 0 when one more automatic action is allowed, 1 when maxloop is reached.')
    .addOption(moduleOption())
    .action(async (options: LoopOptions, command: Command) => {
      await report(Session.of(command, exit), options, (client, module) => client.loop(module));
    });
}

async function report(
  session: Session,
  options: LoopOptions,
  call: (client: Awaited<ReturnType<Session['client']>>, module: string) => Promise<LoopView>,
): Promise<void> {
  const module = moduleOf(options);
  await session.each(
    async (client) => {
      const loop = await call(client, module);
      if (loop.reached) session.exit.code = 1;
      return loop;
    },
    ({ count, max, reached }) => `${count} of ${max}${reached ? ': the limit is reached' : ''}`,
  );
}
