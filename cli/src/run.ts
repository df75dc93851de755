/** One command line from arguments to exit code: the only place that turns errors into text and codes. */
import { CommanderError } from 'commander';
import { HoldfastError, messageOf } from '@holdfast/sdk';
import { ExitCode } from './exit-code.js';
import { createProgram } from './program.js';
import { printable } from './terminal.js';

/** What `--json` prints instead of a result. */
interface ErrorDocument {
  readonly error: { readonly code: string; readonly message: string; readonly details: Readonly<Record<string, unknown>> };
}

export function run(words: readonly string[]): Promise<number> {
  return runGuarded(() => words);
}

/** @param wordsOf may throw as any command does */
export async function runGuarded(wordsOf: () => readonly string[]): Promise<number> {
  const exit = new ExitCode();
  let json = false;
  try {
    const words = wordsOf();
    json = words.includes('--json');
    await createProgram(exit).parseAsync(withCommandApart(words), { from: 'user' });
    return exit.code;
  } catch (error) {
    if (error instanceof CommanderError && isHelp(error)) return error.exitCode;
    const failure = asHoldfastError(error);
    if (json) process.stdout.write(`${JSON.stringify(documentOf(failure), null, 2)}\n`);
    else process.stderr.write(textOf(failure));
    return exit.code === 0 ? exit.onError : exit.code;
  }
}

/** What boundcmd runs has options of its own. */
function withCommandApart(words: readonly string[]): readonly string[] {
  const at = words.indexOf('boundcmd');
  // Before it there can be global options only.
  if (at < 0 || !words.slice(0, at).every((word, index) => word.startsWith('-') || words[index - 1]?.startsWith('-') === true))
    return words;
  const seconds = words[at + 1];
  return seconds === undefined || seconds.startsWith('-') ? words : [...words.slice(0, at + 2), '--', ...words.slice(at + 2)];
}

export function documentOf(failure: HoldfastError): ErrorDocument {
  return { error: { code: failure.code, message: sentenceOf(failure), details: failure.details } };
}

export function sentenceOf(failure: HoldfastError): string {
  return failure.message.slice(failure.code.length + 2);
}

/** The sentence, and below it one line per problem when a file has several. */
function textOf(failure: HoldfastError): string {
  const lines = [`holdfast: ${printable(sentenceOf(failure))} [${failure.code}]`];
  const { problems } = failure.details;
  if (Array.isArray(problems) && problems.length > 1) lines.push(...(problems as readonly Problem[]).map(problemLine));
  return `${lines.join('\n')}\n`;
}

/** Of a configuration file (line, message) or of a request (problem). */
interface Problem {
  readonly line?: number;
  readonly message?: string;
  readonly problem?: string;
}

function problemLine({ line, message, problem }: Problem): string {
  const at = line === undefined ? '' : `line ${line}: `;
  return `  ${at}${printable(message ?? problem ?? '')}`;
}

function isHelp(error: CommanderError): boolean {
  return ['commander.helpDisplayed', 'commander.help', 'commander.version'].includes(error.code);
}

function asHoldfastError(error: unknown): HoldfastError {
  if (error instanceof HoldfastError) return error;
  if (error instanceof CommanderError) {
    return new HoldfastError('HF_CLI_USAGE', `${error.message.replace(/^error: /, '')}; --help shows how it is used`);
  }
  return new HoldfastError('HF_CLI_INTERNAL', `${messageOf(error)}; this is a defect of the command line`, {}, { cause: error });
}
