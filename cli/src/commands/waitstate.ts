/** `holdfast waitstate`: for scripts that must go on only when a module is in a certain state. */
import type { Command } from 'commander';
import type { ExitCode } from '../exit-code.js';
import { type ModuleOption, moduleOf, moduleOption, timeoutOption } from '../options.js';
import { Session } from '../session.js';
import { stateGoal, waitFor } from '../wait.js';

const WAIT_SECONDS_DEFAULT = 300;

export function addWaitCommand(program: Command, exit: ExitCode): void {
  program
    .command('waitstate')
    .summary('wait until a module is in a state')
    .description(
      'Waits until the module is in the state, and Ready. Several states separated by commas: any of them. STOP and WAIT, ' +
        'which are never ' +
        'Ready, count at once. An agent or node that does not answer yet is waited for too. Exits with 1 at the timeout.',
    )
    .argument('<state>', 'STOP, WAIT, ALONE, PRIM, SECOND, UP, or several: PRIM,ALONE')
    .addOption(moduleOption())
    .addOption(timeoutOption(WAIT_SECONDS_DEFAULT))
    .addHelpText(
      'after',
      '\nExamples:\n  holdfast waitstate -m ledger PRIM,ALONE --timeout 60\n  holdfast -H node2 waitstate -m ledger SECOND',
    )
    .action(async (states: string, options: ModuleOption & { readonly timeout: number }, command: Command) => {
      const session = Session.of(command, exit);
      const module = moduleOf(options);
      const goal = stateGoal(states);
      await session.each(
        (client) => waitFor(session, client, module, goal, options.timeout),
        (view) => `${module} is ${session.paint.state(view)}`,
      );
    });
}
