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

export async function run(words: readonly string[]): Promise<number> {
  const exit = new ExitCode();
  const json = words.includes('--json');
  try {
    await createProgram(exit).parseAsync(words, { from: 'user' });
    return exit.code;
  } catch (error) {
    if (error instanceof CommanderError && isHelp(error)) return error.exitCode;
    const failure = asHoldfastError(error);
    if (json) process.stdout.write(`${JSON.stringify(documentOf(failure), null, 2)}\n`);
    else process.stderr.write(textOf(failure));
    return exit.code === 0 ? exit.onError : exit.code;
  }
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
