/** start, stop, restart, stopstart, swap, prim, second: one command of the API each, and `--wait` until it has its effect. */
import { Argument, type Command, Option } from 'commander';
import type { Client, Verb, VerbOptions } from '../core.js';
import type { ExitCode } from '../exit-code.js';
import { type ModuleOption, moduleOf, moduleOption, timeoutOption } from '../options.js';
import { Session } from '../session.js';
import { commandGoal, waitFor } from '../wait.js';

const WAIT_SECONDS_DEFAULT = 600;

interface ControlOptions extends ModuleOption {
  readonly image?: boolean;
  readonly wait?: boolean;
  readonly timeout: number;
  readonly identity?: string;
}

interface VerbHelp {
  readonly verb: Verb;
  /** Of the command, when it is not the verb. */
  readonly name?: string;
  readonly options?: VerbOptions;
  readonly summary: string;
  readonly description: string;
  readonly mode?: 'fullsync' | 'nosync';
}

const VERBS: readonly VerbHelp[] = [
  {
    verb: 'start',
    summary: 'start a module',
    description:
      'Starts the module on this node. The nodes of a mirror decide by themselves who becomes primary: the one with the newer data. ' +
      'In a farm, the node takes its share of the traffic once its application runs.',
  },
  {
    verb: 'stop',
    summary: 'stop a module',
    description:
      'Stops the module on this node. If it serves here and the other node is synchronised, that one takes over; in a farm, the ' +
      'others take its share before the application ends.',
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
      'knows better. What the other node wrote meanwhile is given up. With fullsync, the other node gets a whole copy. ' +
      'With --image, a copy that was only partly synchronised is put back to what it was before, where the file system ' +
      'allows it (see state -v).',
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
  {
    verb: 'prim',
    name: 'primforce',
    options: { force: true },
    summary: 'start a module as primary, whatever its copy is',
    description:
      'Like prim, but also on a copy that was only partly synchronised, and although the witness let the other node go on. ' +
      'What is missing is lost. The last resort when the other node never comes back.',
  },
  {
    verb: 'second',
    name: 'secondforce',
    options: { fullsync: true },
    summary: 'start a module as secondary, and give its copy up',
    description: 'The same as second fullsync, under the name that existing scripts use.',
  },
];

export function addControlCommands(program: Command, exit: ExitCode): void {
  for (const help of VERBS) addControlCommand(program, exit, help);
}

function addControlCommand(program: Command, exit: ExitCode, help: VerbHelp): void {
  const { verb, summary, description, mode } = help;
  const name = help.name ?? verb;
  const command = program
    .command(name)
    .summary(summary)
    .description(`${description} Returns when the command is taken; with --wait, when it is done.`);
  if (verb === 'prim') command.option('--image', 'put a partial copy back to what it was before the resync that did not finish');
  if (mode !== undefined) {
    command.addArgument(new Argument(`[${mode}]`, mode === 'fullsync' ? 'copy everything' : 'without synchronisation').choices([mode]));
  }
  command
    .addOption(moduleOption())
    .addOption(new Option('--wait', 'wait until it is done; shows progress on a terminal'))
    .addOption(timeoutOption(WAIT_SECONDS_DEFAULT))
    .addOption(new Option('-i, --identity <who>', 'marks an automatic action, which counts in maxloop'))
    .addHelpText('after', `\nExamples:\n  holdfast ${name} -m ledger\n  holdfast -H node2 ${name} -m ledger --wait --timeout 120`)
    .action(async (...parameters: unknown[]) => {
      const self = parameters.at(-1) as Command;
      const options = self.opts<ControlOptions>();
      const session = Session.of(self, exit);
      const module = moduleOf(options);
      const verbOptions: VerbOptions = {
        ...help.options,
        ...(self.args[0] === 'fullsync' ? { fullsync: true } : {}),
        ...(self.args[0] === 'nosync' ? { nosync: true } : {}),
        ...(options.image === true ? { image: true } : {}),
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
