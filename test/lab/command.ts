/** A command that is run to its end, with its whole output. */
import { spawn } from 'node:child_process';
import { HoldfastError } from '@holdfast/sdk';
import { childrenOf, sendSignal } from './host-process.js';
import { describeExit } from './running-command.js';

export interface CommandOptions {
  /** Added to a small fixed environment (PATH, HOME, LANG). */
  readonly env?: Readonly<Record<string, string>>;
  /** Absolute, inside the machine. Default `/`. */
  readonly cwd?: string;
  /** Standard input; none by default. */
  readonly input?: string | Uint8Array;
  /** SIGKILL after this time; default 60 000. */
  readonly timeoutMs?: number;
}

export interface CommandResult {
  /** null when a signal ended the command. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly timedOut: boolean;
  readonly stdout: string;
  readonly stderr: string;
}

const TIMEOUT_MS_DEFAULT = 60_000;
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;
/** A daemon left behind may keep the pipes open; the result does not wait for it longer than this. */
const OUTPUT_AFTER_EXIT_MS = 200;

/**
 * @param descriptor open file that the command finds as descriptor 3
 */
export function runCommand(
  argv: readonly string[],
  environment: NodeJS.ProcessEnv,
  options: Pick<CommandOptions, 'input' | 'timeoutMs'> = {},
  descriptor?: number,
): Promise<CommandResult> {
  const [file = '', ...args] = argv;
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      env: environment,
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe', ...(descriptor === undefined ? [] : [descriptor])],
    });
    const { stdin, stdout, stderr } = child;
    if (stdin === null || stdout === null || stderr === null) throw new TypeError('the pipes asked for were not made');
    const outputs = { stdout: collect(stdout), stderr: collect(stderr) };
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      for (const pid of child.pid === undefined ? [] : childrenOf(child.pid)) sendSignal(pid, 'SIGKILL');
      child.kill('SIGKILL');
    }, options.timeoutMs ?? TIMEOUT_MS_DEFAULT);
    let settled = false;
    const settle = (code: number | null, signal: NodeJS.Signals | null): void => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      for (const pipe of [stdin, stdout, stderr]) pipe.destroy();
      resolve({ code, signal, timedOut, stdout: outputs.stdout(), stderr: outputs.stderr() });
    };
    child.once('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.once('close', settle);
    child.once('exit', (code, signal) => {
      const grace = setTimeout(() => settle(code, signal), OUTPUT_AFTER_EXIT_MS);
      child.once('close', () => clearTimeout(grace));
    });
    stdin.on('error', () => undefined); // a command that ends without reading its input is none of our business
    stdin.end(options.input);
  });
}

/**
 * The standard output of a command that must succeed.
 * @throws HF_LAB_COMMAND_FAILED with the command's error output
 */
export function outputOf(title: string, result: CommandResult): string {
  if (result.code === 0) return result.stdout;
  const outcome = result.timedOut ? 'timed out' : `failed (${describeExit(result)})`;
  throw new HoldfastError('HF_LAB_COMMAND_FAILED', `${title}: ${outcome}: ${result.stderr.trim() || result.stdout.trim() || 'no output'}`, {
    code: result.code,
    signal: result.signal,
  });
}

function collect(stream: NodeJS.ReadableStream): () => string {
  const chunks: Buffer[] = [];
  let bytes = 0;
  stream.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= OUTPUT_BYTES_MAX) chunks.push(chunk);
  });
  return () => Buffer.concat(chunks).toString('utf8');
}
