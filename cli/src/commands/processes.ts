/** `holdfast kill`, `processtree` and `boundcmd`: what stop scripts need to end an application for good. They ask no agent. */
import { spawn } from 'node:child_process';
import { ExtendedRegex, HoldfastError, messageOf } from '@holdfast/sdk';
import { Argument, type Command } from 'commander';
import type { ExitCode } from '../exit-code.js';
import { naturalNumber } from '../options.js';
import { endProcesses, type FoundProcess, listProcesses, ownLine, signal, treeOf } from '../processes.js';
import { Session } from '../session.js';
import { printable } from '../terminal.js';

const PATIENCE_MS = 5000;
const BOUND_PATIENCE_MS = 2000;
/** The kernel keeps no more of a name. */
const NAME_BYTES_MAX = 15;
const LEVELS = ['test', 'terminate', '9', '15'] as const;

export function addProcessCommands(program: Command, exit: ExitCode): void {
  addKill(program, exit);
  addProcessTree(program, exit);
  addBound(program, exit);
}

function addKill(program: Command, exit: ExitCode): void {
  program
    .command('kill')
    .summary('end processes by name or arguments')
    .description(
      'Ends the processes of this machine that match, for stop scripts. -name=NAME is the whole name (15 bytes at most), ' +
        '-argregex=EXPRESSION a POSIX extended expression on the command line; what is given must all match. -level=test only lists ' +
        'them, 15 and 9 send that signal, terminate sends 15, and 9 to what is left after 5 s. The command itself and the scripts that ' +
        'call it are spared. Exits with 1 when a test finds none, or something is left after terminate.',
    )
    .usage('[-name=NAME] [-argregex=EXPRESSION] -level=test|terminate|9|15')
    .argument('[criteria...]', '-name=, -argregex= and -level=')
    .allowUnknownOption()
    .addHelpText(
      'after',
      '\nExamples:\n  holdfast kill -name=postgres -level=test\n  holdfast kill -argregex="java .*server.jar" -level=terminate',
    )
    .action(async (words: readonly string[], _options: unknown, command: Command) => {
      const session = Session.of(command, exit);
      const { level, matches } = readCriteria(words);
      const all = listProcesses();
      const spared = ownLine(all);
      const found = all.filter((process) => !spared.has(process.pid) && matches(process));
      let left: readonly FoundProcess[] = [];
      if (level === 'terminate') left = await endProcesses(found, PATIENCE_MS, false);
      else if (level !== 'test') for (const process of found) signal(process, level === '9' ? 'SIGKILL' : 'SIGTERM');
      if ((level === 'test' && found.length === 0) || left.length > 0) exit.code = 1;
      session.report({ level, processes: found, left }, () => (found.length === 0 ? 'no process matches' : found.map(lineOf).join('\n')));
    });
}

interface Criteria {
  readonly level: (typeof LEVELS)[number];
  readonly matches: (process: FoundProcess) => boolean;
}

/** `-name=x`, `--name=x` or `-name x`. */
export function readCriteria(words: readonly string[]): Criteria {
  const given = new Map<string, string>();
  for (let index = 0; index < words.length; index += 1) {
    const match = /^--?(name|argregex|level)(?:=(.*))?$/s.exec(words[index] ?? '');
    if (match?.[1] === undefined)
      throw new HoldfastError('HF_CLI_USAGE', `kill does not know ${words[index] ?? ''}; it takes -name=, -argregex= and -level=`);
    if (match[2] === undefined) index += 1;
    given.set(match[1], match[2] ?? words[index] ?? '');
  }
  const level = LEVELS.find((candidate) => candidate === given.get('level'));
  if (level === undefined)
    throw new HoldfastError('HF_CLI_USAGE', `-level=${given.get('level') ?? ''} of kill must be one of ${LEVELS.join(', ')}`);
  const [name = '', expression = ''] = [given.get('name'), given.get('argregex')];
  if (name === '' && expression === '')
    throw new HoldfastError('HF_CLI_USAGE', 'kill needs -name= or -argregex=: it never ends everything');
  const shortName = Buffer.from(name).subarray(0, NAME_BYTES_MAX).toString('utf8');
  const regex = expression === '' ? undefined : compile(expression);
  return {
    level,
    matches: (process) => (name === '' || process.name === shortName) && (regex === undefined || regex.test(process.command)),
  };
}

function compile(expression: string): ExtendedRegex {
  try {
    return new ExtendedRegex(expression);
  } catch (error) {
    throw new HoldfastError('HF_CLI_USAGE', `-argregex=${expression} is not a POSIX extended expression: ${messageOf(error)}`);
  }
}

function addProcessTree(program: Command, exit: ExitCode): void {
  program
    .command('processtree')
    .summary('show or end a process with all that it started')
    .description(
      'Lists a process of this machine and all its descendants, or ends them: SIGTERM, and SIGKILL to what is left after 5 s. Takes a ' +
        'process number or a name. Exits with 1 when there is no such process, or something is left.',
    )
    .addArgument(new Argument('<deed>', 'what to do').choices(['list', 'kill']))
    .argument('<process>', 'number or name')
    .addHelpText('after', '\nExamples:\n  holdfast processtree list 4711\n  holdfast processtree kill java')
    .action(async (deed: string, which: string, _options: unknown, command: Command) => {
      const session = Session.of(command, exit);
      const all = listProcesses();
      const spared = ownLine(all);
      const roots = all.filter(({ pid, name }) =>
        /^[0-9]+$/.test(which) ? pid === Number(which) : name === which.slice(0, NAME_BYTES_MAX),
      );
      const tree = treeOf(roots, all);
      if (deed === 'kill' && roots.some(({ pid }) => spared.has(pid))) {
        throw new HoldfastError('HF_CLI_USAGE', `processtree kill ${which} would end the script that calls it`);
      }
      const left = deed === 'kill' ? await endProcesses(roots, PATIENCE_MS, true) : [];
      if (tree.length === 0 || left.length > 0) exit.code = 1;
      session.report({ processes: tree, left }, () => (tree.length === 0 ? `no process ${which}` : drawn(roots, tree)));
    });
}

/** Children below their parents, indented. */
function drawn(roots: readonly FoundProcess[], tree: readonly FoundProcess[]): string {
  const below = (process: FoundProcess, depth: number): readonly string[] => [
    `${'  '.repeat(depth)}${lineOf(process)}`,
    ...tree.filter(({ parentPid }) => parentPid === process.pid).flatMap((child) => below(child, depth + 1)),
  ];
  const tops = roots.filter((root) => !roots.some(({ pid }) => pid === root.parentPid));
  return tops.flatMap((root) => below(root, 0)).join('\n');
}

function lineOf({ pid, command }: FoundProcess): string {
  return `${pid} ${printable(command)}`;
}

function addBound(program: Command, exit: ExitCode): void {
  program
    .command('boundcmd')
    .summary('run a command with a time limit')
    .description(
      'Runs a command and exits with its status. If it has not ended after so many seconds, it is ended with all that it started, and ' +
        'the exit status is 2. 127 when it cannot be run.',
    )
    .argument('<seconds>', 'the limit', naturalNumber(1, 86_400))
    .argument('<command...>', 'the command and its arguments')
    .addHelpText('after', '\nExamples:\n  holdfast boundcmd 30 systemctl stop postgresql')
    .action(async (seconds: number, [file = '', ...words]: readonly string[]) => {
      exit.code = await runBound(seconds, file, words);
    });
}

async function runBound(seconds: number, file: string, words: readonly string[]): Promise<number> {
  // In the group of the calling script: whoever ends that ends this too.
  const child = spawn(file, words, { stdio: 'inherit' });
  const ended = new Promise<number>((resolve) => {
    child.once('error', (error) => {
      process.stderr.write(`holdfast: ${file} cannot be run: ${error.message}\n`);
      resolve(127);
    });
    child.once('exit', (status, how) => resolve(status ?? 128 + (how === 'SIGKILL' ? 9 : 15)));
  });
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<'late'>((resolve) => {
    timer = setTimeout(resolve, seconds * 1000, 'late');
  });
  const first = await Promise.race([ended, late]);
  clearTimeout(timer);
  if (first !== 'late') return first;
  const roots = listProcesses().filter(({ pid }) => pid === child.pid);
  await endProcesses(roots, BOUND_PATIENCE_MS, true);
  process.stderr.write(`holdfast: ${file} did not end within ${seconds} s and was ended\n`);
  return 2;
}
