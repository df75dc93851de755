/** `holdfast why`: the last changes of state of a module, each with its reason and with what was known when it was decided. */
import { type Command, Option } from 'commander';
import type { LogEntry } from '../core.js';
import type { ExitCode } from '../exit-code.js';
import { type ModuleOption, moduleOf, moduleOption, naturalNumber } from '../options.js';
import { Session } from '../session.js';
import { printable } from '../terminal.js';

const TRANSITIONS_DEFAULT = 3;
const ENTRIES_READ = 10_000;

interface WhyOptions extends ModuleOption {
  readonly last: number;
}

interface Transition {
  readonly at: string;
  readonly node: string;
  readonly text: string;
  readonly evidence: readonly string[];
}

export function addWhyCommand(program: Command, exit: ExitCode): void {
  program
    .command('why')
    .summary('why a module is in its state')
    .description(
      'Prints the last changes of state of the module on this node, or on the nodes of -H, newest last, in a farm also those of its ' +
        'membership: the reason of each, and what it rested on: when the other node was last heard on which network, what it had ' +
        'said, what the witness had answered, generations, resources.',
    )
    .addOption(moduleOption())
    .addOption(new Option('-n, --last <number>', 'how many changes').argParser(naturalNumber(1, 1_000)).default(TRANSITIONS_DEFAULT))
    .addHelpText('after', "\nExamples:\n  holdfast why -m ledger\n  holdfast -H '*' why -m ledger -n 10")
    .action(async (options: WhyOptions, command: Command) => {
      const session = Session.of(command, exit);
      const module = moduleOf(options);
      await session.each(
        async (client) => lastTransitions(await client.log(module, { limit: ENTRIES_READ, levels: 'E' }), options.last),
        (transitions) => (transitions.length === 0 ? 'no change of state is recorded' : transitions.map(textOf).join('\n')),
      );
    });
}

function lastTransitions(entries: readonly LogEntry[], count: number): readonly Transition[] {
  const transitions = entries.flatMap(({ at, node, text, fields }) => {
    const evidence = fields?.['evidence'];
    if (!Array.isArray(evidence)) return [];
    return [{ at, node, text, evidence: evidence.filter((sentence) => typeof sentence === 'string') }];
  });
  return transitions.slice(-count);
}

function textOf({ at, node, text, evidence }: Transition): string {
  return [`${printable(at)} ${printable(node)}: ${printable(text)}`, ...evidence.map((sentence) => `    ${printable(sentence)}`)].join(
    '\n',
  );
}
