/** `holdfast log`: what happened, of one node or several in the order of their clocks, and live with -f. */
import { setTimeout as delay } from 'node:timers/promises';
import { HoldfastError, messageOf } from '@holdfast/sdk';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { Client, LogEntry } from '../core.js';
import type { ExitCode } from '../exit-code.js';
import { type ModuleOption, moduleOf, moduleOption, naturalNumber } from '../options.js';
import { outcomeOf, Session } from '../session.js';
import { type Colour, type Paint, printable } from '../terminal.js';

const LINES_DEFAULT = 300;
const RECONNECT_MS = 1_000;
/** A node that is silent longer is reported as an error. */
const RECONNECT_ATTEMPTS_MAX = 60;
const MAY_PASS = /^HF_(AGENT_|NODE_UNREACHABLE|NODE_TIMEOUT|API_STREAM_ENDED|API_STOPPING)/;

interface LogOptions extends ModuleOption {
  readonly lines: number;
  readonly follow?: boolean;
  readonly levels?: string;
}

const COLOUR_OF: Readonly<Partial<Record<LogEntry['level'], Colour>>> = { C: 'red', E: 'bold', D: 'dim', I: 'dim' };

export function addLogCommand(program: Command, exit: ExitCode): void {
  program
    .command('log')
    .summary('log of a module')
    .description(
      'Prints the log of the module on this node, or on the nodes of -H in the order of their clocks: time | node | level | ' +
        'component | text. ' +
        'Levels: C critical, E event, U user, S script, I info, D debug. With --json and -f, one entry per line.',
    )
    .addOption(moduleOption())
    .addOption(
      new Option('-s, --lines <number>', 'how many of the newest entries').argParser(naturalNumber(0, 10_000)).default(LINES_DEFAULT),
    )
    .option('-f, --follow', 'go on with new entries until Ctrl-C')
    .addOption(new Option('--levels <letters>', 'only these levels, for example CEUS').argParser(parseLevels))
    .addHelpText('after', "\nExamples:\n  holdfast log -m ledger -s 20\n  holdfast -H '*' log -m ledger -f --levels CE")
    .action(async (options: LogOptions, command: Command) => {
      const session = Session.of(command, exit);
      const module = moduleOf(options);
      const client = await session.client();
      const nodes = await session.nodes();
      const clients = nodes === undefined ? [client] : nodes.map((node) => client.onNode(node));
      if (options.follow === true) return follow(session, clients, module, options);
      const outcomes =
        nodes === undefined
          ? [{ result: await recent(client, module, options), error: undefined }]
          : await Promise.all(nodes.map((node) => outcomeOf(node, recent(client.onNode(node), module, options))));
      const entries = outcomes.flatMap(({ result }) => result ?? []).sort(byTime);
      for (const outcome of outcomes) {
        if (outcome.error === undefined || !('node' in outcome)) continue;
        exit.code = 1;
        session.note(`${outcome.node}: ${printable(outcome.error.message)} [${outcome.error.code}]`);
      }
      session.report(nodes === undefined ? entries : { nodes: outcomes }, () =>
        entries.map((entry) => lineOf(session.paint, entry)).join('\n'),
      );
    });
}

function recent(client: Client, module: string, options: LogOptions): Promise<readonly LogEntry[]> {
  if (options.lines === 0) return Promise.resolve([]);
  return client.log(module, { limit: options.lines, ...(options.levels === undefined ? {} : { levels: options.levels }) });
}

async function follow(session: Session, clients: readonly Client[], module: string, options: LogOptions): Promise<void> {
  const end = new AbortController();
  const stop = (): void => end.abort();
  process.once('SIGINT', stop).once('SIGTERM', stop);
  const print = (entry: LogEntry): void => {
    if (options.levels !== undefined && !options.levels.includes(entry.level)) return;
    session.print(session.json ? JSON.stringify(entry) : lineOf(session.paint, entry));
  };
  try {
    await Promise.all(clients.map((client) => followOne(session, client, module, options, print, end.signal)));
  } finally {
    process.off('SIGINT', stop).off('SIGTERM', stop);
    stop();
  }
}

/** Follows one node for as long as it can be reached; goes on after the last entry when the connection breaks. */
async function followOne(
  session: Session,
  client: Client,
  module: string,
  options: LogOptions,
  print: (entry: LogEntry) => void,
  signal: AbortSignal,
): Promise<void> {
  // Fails at once where there is nothing to follow, instead of trying again.
  await client.module(module);
  const follower = new Follower(client, module, options, print);
  let failures = 0;
  while (!signal.aborted) {
    try {
      await follower.connect(signal, () => (failures = 0));
    } catch (error) {
      const mayPass = error instanceof HoldfastError && MAY_PASS.test(error.code);
      failures += 1;
      if (!mayPass || failures > RECONNECT_ATTEMPTS_MAX) throw error;
      if (failures === 1) session.note(`holdfast: ${printable(error.message)}; trying again`);
      await delay(RECONNECT_MS, undefined, { signal }).catch(() => undefined);
    }
  }
}

/** The stream is opened before the log is read, so that nothing falls between; entries that are in both come once. */
class Follower {
  private last: number | undefined;
  /** Live entries that came before the log was read. */
  private early: LogEntry[] = [];

  constructor(
    private readonly client: Client,
    private readonly module: string,
    private readonly options: LogOptions,
    private readonly print: (entry: LogEntry) => void,
  ) {}

  /** Until the signal aborts. @throws when the connection breaks, or the log cannot be read. */
  async connect(signal: AbortSignal, onOpen: () => void): Promise<void> {
    const broken = new AbortController();
    let failure: Error | undefined;
    this.early = [];
    const opened = (): void => {
      onOpen();
      if (this.last !== undefined) return;
      this.catchUp().catch((error: unknown) => {
        failure = error instanceof Error ? error : new Error(messageOf(error));
        broken.abort();
      });
    };
    const from = this.last === undefined ? {} : { after: this.last };
    const either = AbortSignal.any([signal, broken.signal]);
    for await (const entry of this.client.events({ module: this.module, signal: either, onOpen: opened, ...from })) {
      if (this.last === undefined) this.early.push(entry);
      else this.show(entry);
    }
    if (failure !== undefined) throw failure;
  }

  private async catchUp(): Promise<void> {
    const entries = await recent(this.client, this.module, this.options);
    const newest = entries.at(-1)?.sequence ?? 0;
    this.last = newest;
    for (const entry of [...entries, ...this.early.filter(({ sequence }) => sequence > newest)]) this.show(entry);
  }

  private show(entry: LogEntry): void {
    this.last = entry.sequence;
    this.print(entry);
  }
}

function lineOf(paint: Paint, { at, node, level, component, text }: LogEntry): string {
  const line = `${at} | ${printable(node)} | ${level} | ${printable(component)} | ${printable(text)}`;
  const colour = COLOUR_OF[level];
  return colour === undefined ? line : paint.as(colour, line);
}

function byTime(one: LogEntry, other: LogEntry): number {
  if (one.node === other.node) return one.sequence - other.sequence;
  return one.at < other.at ? -1 : one.at > other.at ? 1 : 0;
}

function parseLevels(text: string): string {
  const letters = text.toUpperCase();
  if (!/^[CEUSID]{1,6}$/.test(letters)) throw new InvalidArgumentError('The levels are the letters C, E, U, S, I, D.');
  return letters;
}
