/** `holdfast resources` and `holdfast get`: the facts that decisions are made from. */
import { HoldfastError } from '@holdfast/sdk';
import type { Command } from 'commander';
import type { ResourceView } from '../core.js';
import type { ExitCode } from '../exit-code.js';
import { type ModuleOption, moduleOf, moduleOption } from '../options.js';
import { Session } from '../session.js';
import { type Colour, printable } from '../terminal.js';

const COLOUR_OF: Readonly<Record<ResourceView['value'], Colour>> = { up: 'green', down: 'red', init: 'orange', unknown: 'dim' };

export function addResourceCommands(program: Command, exit: ExitCode): void {
  program
    .command('resources')
    .summary('resources of a module')
    .description('Lists the resources of a module on this node: what its checkers and the agent found out, up, down, init or unknown.')
    .addOption(moduleOption())
    .addHelpText('after', '\nExamples:\n  holdfast resources -m ledger\n  holdfast -H node2 resources -m ledger --json')
    .action(async (options: ModuleOption, command: Command) => {
      const session = Session.of(command, exit);
      await session.each(
        (client) => client.resources(moduleOf(options)),
        (resources) =>
          resources.length === 0
            ? 'no resources'
            : session.paint.table(
                ['RESOURCE', 'VALUE', 'SINCE', 'DETAIL'],
                resources.map(({ name, value, since, detail }) => [
                  printable(name),
                  session.paint.as(COLOUR_OF[value], value),
                  since,
                  printable(detail),
                ]),
              ),
      );
    });
  program
    .command('get')
    .summary('value of one resource')
    .description('Prints the value of one resource, and with --json its detail and history.')
    .addOption(moduleOption())
    .requiredOption('-r, --resource <name>', 'the resource, for example tcp.ledger')
    .addHelpText('after', '\nExamples:\n  holdfast get -m ledger -r tcp.ledger')
    .action(async (options: ModuleOption & { readonly resource: string }, command: Command) => {
      const session = Session.of(command, exit);
      const module = moduleOf(options);
      await session.each(
        async (client) => {
          const resources = await client.resources(module);
          const found = resources.find(({ name }) => name === options.resource);
          if (found !== undefined) return found;
          const names = resources.map(({ name }) => name);
          throw new HoldfastError(
            'HF_CLI_RESOURCE_UNKNOWN',
            `${module} has no resource "${options.resource}"; it has ${names.join(', ') || 'none'}`,
            { names },
          );
        },
        ({ value }) => value,
      );
    });
}
