/** `holdfast resources` and `holdfast get`: the facts that decisions are made from. */
import { HoldfastError } from '@holdfast/sdk';
import type { Command } from 'commander';
import type { ResourceView } from '../core.js';
import type { ExitCode } from '../exit-code.js';
import { type ModuleOption, moduleOf, moduleOption } from '../options.js';
import { Session } from '../session.js';
import { type Colour, printable } from '../terminal.js';

const NAMES_SHOWN = 50;

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
    .summary('value of a resource, and its history')
    .description('Prints the value of one resource or of all, and with --json their detail and history.')
    .addOption(moduleOption())
    .option('-r, --resource <name>', 'the resource, for example tcp.ledger; without it, all with their values')
    .option('--history', 'its changes too, oldest first: at most 50 of each resource, kept over restarts of the agent')
    .addHelpText('after', '\nExamples:\n  holdfast get -m ledger -r tcp.ledger\n  holdfast get -m ledger -r tcp.ledger --history')
    .action(async (options: GetOptions, command: Command) => {
      const session = Session.of(command, exit);
      const module = moduleOf(options);
      const { resource, history = false } = options;
      if (resource === undefined) {
        await session.each(
          (client) => client.resources(module),
          (resources) => resources.map((found) => `${printable(found.name)} ${textOf(found, history)}`).join('\n'),
        );
        return;
      }
      await session.each(
        async (client) => {
          const [found] = await client.resources(module, { name: resource });
          return found ?? unknownResource(module, resource, await client.resources(module));
        },
        (found) => textOf(found, history),
      );
    });
}

interface GetOptions extends ModuleOption {
  readonly resource?: string;
  readonly history?: boolean;
}

function unknownResource(module: string, name: string, resources: readonly ResourceView[]): never {
  const names = resources.map((resource) => resource.name);
  const shown = `${names.slice(0, NAMES_SHOWN).join(', ')}${names.length > NAMES_SHOWN ? `, … (${names.length})` : ''}`;
  throw new HoldfastError('HF_CLI_RESOURCE_UNKNOWN', `${module} has no resource "${name}"; it has ${shown || 'none'}`, { names });
}

function textOf({ value, history }: ResourceView, withHistory: boolean): string {
  if (!withHistory) return value;
  const lines = history.map(
    ({ at, value: then, detail, by }) => `  ${at} ${then}: ${printable(detail)}${by === undefined ? '' : ` (by ${printable(by)})`}`,
  );
  return [value, ...lines].join('\n');
}
