/** start, stop, restart, stopstart, swap, prim, second: one command of the API each, and `--wait` until it has its effect. */
import { Argument, type Command, Option } from 'commander';
import type { Client, Verb, VerbOptions } from '../core.js';
import type { ExitCode } from '../exit-code.js';
import { type ModuleOption, moduleOf, moduleOption, timeoutOption } from '../options.js';
import { Session } from '../session.js';
import { commandGoal, waitFor } from '../wait.js';

const WAIT_SECONDS_DEFAULT = 600;

interface ControlOptions extends ModuleOption {
  readonly wait?: boolean;
  readonly timeout: number;
  readonly identity?: string;
}

interface VerbHelp {
  readonly verb: Verb;
  readonly summary: string;
  readonly description: string;
  readonly mode?: 'fullsync' | 'nosync';
}

const VERBS: readonly VerbHelp[] = [
  {
    verb: 'start',
    summary: 'start a module',
    description: 'Starts the module on this node. The nodes decide by themselves who becomes primary: the one with the newer data.',
  },
  {
    verb: 'stop',
    summary: 'stop a module',
    description: 'Stops the module on this node. If it serves here and the other node is synchronised, that one takes over.',
  },
  {
    verb: 'restart',
    summary: "restart a module's application",
    description: 'Stops and starts the application on this node without giving up its role.',
  },
  {
    verb: 'stopstart',
    summary: 'stop a module and start it again',
    description: 'Stops the module on this node and starts it again; the other node may take over.',
  },
  {
    verb: 'swap',
    summary: 'exchange the roles',
    description: 'The primary becomes secondary and the secondary primary. Refused while the secondary is not synchronised.',
    mode: 'nosync',
  },
  {
    verb: 'prim',
    summary: 'start a module as primary',
    description:
      'Starts the module on this node as primary, whatever is known about its data: for the very first start, or when the administrator ' +
      'knows better. What the other node wrote meanwhile is given up. With fullsync, the other node gets a whole copy.',
    mode: 'fullsync',
  },
  {
    verb: 'second',
    summary: 'start a module as secondary',
    description:
      'Starts the module on this node as secondary: it takes its data from the primary. With fullsync, everything is ' +
      'copied anew instead of ' +
      'what changed.',
    mode: 'fullsync',
  },
];

export function addControlCommands(program: Command, exit: ExitCode): void {
  for (const help of VERBS) addControlCommand(program, exit, help);
}

function addControlCommand(program: Command, exit: ExitCode, { verb, summary, description, mode }: VerbHelp): void {
  const command = program
    .command(verb)
    .summary(summary)
    .description(`${description} Returns when the command is taken; with --wait, when it is done.`);
  if (mode !== undefined) {
    command.addArgument(new Argument(`[${mode}]`, mode === 'fullsync' ? 'copy everything' : 'without synchronisation').choices([mode]));
  }
  command
    .addOption(moduleOption())
    .addOption(new Option('--wait', 'wait until it is done; shows progress on a terminal'))
    .addOption(timeoutOption(WAIT_SECONDS_DEFAULT))
    .addOption(new Option('-i, --identity <who>', 'marks an automatic action, which counts in maxloop'))
    .addHelpText('after', `\nExamples:\n  holdfast ${verb} -m ledger\n  holdfast -H node2 ${verb} -m ledger --wait --timeout 120`)
    .action(async (...parameters: unknown[]) => {
      const self = parameters.at(-1) as Command;
      const options = self.opts<ControlOptions>();
      const session = Session.of(self, exit);
      const module = moduleOf(options);
      const verbOptions: VerbOptions = {
        ...(self.args[0] === 'fullsync' ? { fullsync: true } : {}),
        ...(self.args[0] === 'nosync' ? { nosync: true } : {}),
        ...(options.identity === undefined ? {} : { identity: options.identity }),
      };
      await session.each(
        (client) => control(session, client, module, verb, verbOptions, options),
        ({ state }) => (state === undefined ? `${verb} of ${module} is under way` : `${module} is ${state}`),
      );
    });
}

interface ControlResult {
  readonly module: string;
  readonly verb: Verb;
  /** With --wait: the state that was reached. */
  readonly state?: string;
}

async function control(
  session: Session,
  client: Client,
  module: string,
  verb: Verb,
  verbOptions: VerbOptions,
  options: ControlOptions,
): Promise<ControlResult> {
  if (options.wait !== true) {
    await client.command(module, verb, verbOptions);
    return { module, verb };
  }
  const goal = commandGoal(verb, await client.module(module));
  await client.command(module, verb, verbOptions);
  const reached = await waitFor(session, client, module, goal, options.timeout);
  return { module, verb, state: `${reached.phase} (${reached.quality})` };
}
