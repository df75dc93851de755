/** Starts an executable of the module in a process group of its own, so that it ends with all that it started. */
import { type ChildProcess, spawn } from 'node:child_process';

export interface Program {
  /** Absolute. */
  readonly path: string;
  /** A command that runs another one: `nsenter …`. */
  readonly through: readonly string[];
  /** As it was configured, for people. */
  readonly name: string;
  readonly arguments: readonly string[];
  readonly directory: string;
  readonly environment: Readonly<Record<string, string>>;
}

export interface RunningProgram {
  /** How it ended: exit status, signal, or why it could not be started. Never rejects. */
  readonly ended: Promise<Ending>;
  /** The last line that it wrote. */
  lastLine(): string;
  /** Ends the whole group: asks, and kills what is still there after a moment. Resolves when the program itself has ended. */
  end(): Promise<void>;
}

export type Ending =
  | { readonly kind: 'exit'; readonly status: number }
  | { readonly kind: 'signal'; readonly signal: string }
  | { readonly kind: 'error'; readonly message: string };

const GRACE_MS = 1000;
const TAIL_CHARS = 400;
const LINE_CHARS_MAX = 200;

export function start({ path, through, arguments: words, directory, environment }: Program): RunningProgram {
  const [file, ...before] = [...through, path];
  const child = spawn(file ?? path, [...before, ...words], {
    cwd: directory,
    env: { ...environment },
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let tail = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      tail = (tail + text).slice(-TAIL_CHARS);
    });
  }
  const ended = new Promise<Ending>((resolve) => {
    child.once('error', (error) => resolve({ kind: 'error', message: error.message }));
    child.once('exit', (status, signal) => {
      // What the program started may hold the pipes open; it is not waited for, and ends with the group.
      setImmediate(() => {
        child.stdout.destroy();
        child.stderr.destroy();
        resolve(status === null ? { kind: 'signal', signal: signal ?? 'unknown' } : { kind: 'exit', status });
      });
    });
  });
  return {
    ended,
    lastLine: () => (tail.trim().split('\n').at(-1) ?? '').replaceAll(/\p{Cc}+/gu, ' ').slice(0, LINE_CHARS_MAX),
    end: async () => {
      signalGroup(child, 'SIGTERM');
      const timer = setTimeout(() => signalGroup(child, 'SIGKILL'), GRACE_MS);
      await ended;
      clearTimeout(timer);
      signalGroup(child, 'SIGKILL');
    },
  };
}

function signalGroup({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch {
    // The group has ended by itself.
  }
}
