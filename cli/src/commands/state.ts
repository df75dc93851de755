/** `holdfast state`: one module or all, one node or all, once or live, as a table, JSON, a word or an exit code. */
import { HoldfastError } from '@holdfast/sdk';
import { type Command, Option } from 'commander';
import { type Client, type ModuleView, PHASE_EXIT_CODE } from '../core.js';
import type { ExitCode } from '../exit-code.js';
import { type ModuleOption, moduleOf, moduleOption } from '../options.js';
import { type NodeOutcome, outcomeOf, Session } from '../session.js';
import { stateDetails, stateTable } from '../state-view.js';
import { watchStates } from '../state-watch.js';

/** No phase, because the agent did not answer or the module was never configured. */
const EXIT_UNKNOWN = 10;

interface StateOptions extends ModuleOption {
  readonly verbose?: boolean;
  readonly level?: boolean;
  readonly quiet?: boolean;
  readonly watch?: boolean;
}

export type NodeStates = NodeOutcome<readonly ModuleView[]>;

export function addStateCommand(program: Command, exit: ExitCode): void {
  program
    .command('state')
    .summary('state of the modules')
    .description(
      'Without -m: all modules on all nodes of the cluster. With -m: that module on this node, or on the nodes of -H. ' +
        'A node that does not ' +
        'answer is shown as ERROR with the cause. With -l the state is one word and the exit code; with -lq the exit code alone.',
    )
    .addOption(moduleOption())
    .option('-v, --verbose', 'everything that is known')
    .option('-l, --level', 'print one word, and exit with the state: 0 STOP, 1 WAIT, 2 ALONE or UP, 3 PRIM, 4 SECOND, 10 unknown')
    .option('-q, --quiet', 'with -l: print nothing')
    .addOption(new Option('--watch', 'keep showing, every second; with --json one document per line').conflicts(['level', 'verbose']))
    .addHelpText(
      'after',
      '\nExamples:\n  holdfast state\n  holdfast state --watch\n  holdfast state -m ledger -v\n  holdfast state -m ledger -lq; echo $?',
    )
    .action(async (options: StateOptions, command: Command) => {
      const session = Session.of(command, exit);
      if (options.level === true || options.quiet === true) return level(session, options);
      if (options.watch === true) return watchStates(session, await targets(session, options), options.module);
      return show(session, options);
    });
}

async function level(session: Session, options: StateOptions): Promise<void> {
  session.exit.onError = EXIT_UNKNOWN;
  const module = moduleOf(options);
  if (options.level !== true) throw new HoldfastError('HF_CLI_USAGE', '-q goes with -l: state -m NAME -lq');
  const client = await session.client();
  const nodes = (await session.nodes()) ?? [];
  const [node] = nodes;
  if (nodes.length > 1) throw new HoldfastError('HF_CLI_USAGE', 'state -l exits with the state of one node; give one name to -H');
  const view = await (node === undefined ? client : client.onNode(node)).module(module);
  session.exit.code = view.phase === 'NOT CONFIGURED' ? EXIT_UNKNOWN : PHASE_EXIT_CODE[view.phase];
  if (options.quiet !== true) session.report(view, () => view.phase);
}

async function show(session: Session, options: StateOptions): Promise<void> {
  const client = await session.client();
  const { module } = options;
  if (module !== undefined && session.options.hosts === undefined) {
    const view = await client.module(module);
    session.report(view, () => textOf(session, [{ node: view.node, result: [view] }], options));
    return;
  }
  const nodes = await targets(session, options);
  const states = await Promise.all(nodes.map((node) => statesOf(client, node, module)));
  if (states.some(({ error }) => error !== undefined)) session.exit.code = 1;
  session.report({ nodes: states.map((state) => documentOf(state, module)) }, () => textOf(session, states, options));
}

/** The nodes to look at: those of `-H`, this one alone with -m, else all of the cluster. */
async function targets(session: Session, options: StateOptions): Promise<readonly string[]> {
  const named = await session.nodes();
  if (named !== undefined) return named;
  const cluster = await (await session.client()).cluster();
  return options.module === undefined ? cluster.nodes.map(({ name }) => name) : [cluster.node];
}

export function statesOf(client: Client, node: string, module: string | undefined): Promise<NodeStates> {
  const there = client.onNode(node);
  if (module !== undefined)
    return outcomeOf(
      node,
      there.module(module).then((view) => [view]),
    );
  return outcomeOf(
    node,
    there.modules().then((modules) => Promise.all(modules.map((entry) => there.module(entry.module)))),
  );
}

/** With one module, `result` is its view, as for the other commands with -H; else all views are in `modules`. */
export function documentOf({ node, result, error }: NodeStates, module: string | undefined): object {
  if (error !== undefined) return { node, error };
  return module === undefined ? { node, modules: result } : { node, result: result?.[0] };
}

function textOf(session: Session, states: readonly NodeStates[], options: StateOptions): string {
  if (options.verbose !== true) return stateTable(session.paint, states);
  const views = states.flatMap(({ result }) => result ?? []);
  const failures = states.filter(({ error }) => error !== undefined);
  const blocks = views.map((view) => stateDetails(session.paint, view));
  return [...blocks, ...(failures.length === 0 ? [] : [stateTable(session.paint, failures)])].join('\n\n');
}
