/** Runs a program of the system, bounded in time and output; it is looked for where administrators' programs are, too. */
import { spawn } from 'node:child_process';

const RUN_MS_MAX = 5000;
const OUTPUT_BYTES_MAX = 1024 * 1024;
const FOLDERS = '/usr/sbin:/usr/bin:/sbin:/bin';

export interface ProgramResult {
  /** undefined: the program is not installed. */
  readonly status: number | undefined;
  readonly output: string;
  readonly errors: string;
}

export async function runProgram(name: string, words: readonly string[], input = ''): Promise<ProgramResult> {
  const path = `${process.env['PATH'] ?? ''}:${FOLDERS}`;
  // Its messages are read.
  const child = spawn(name, words, { env: { PATH: path, LC_ALL: 'C' }, stdio: ['pipe', 'pipe', 'pipe'], timeout: RUN_MS_MAX });
  const [output, errors] = [collected(child.stdout), collected(child.stderr)];
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  return new Promise((resolve, reject) => {
    child.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') resolve({ status: undefined, output: '', errors: '' });
      else reject(error);
    });
    child.once('close', (status, signal) => {
      const killed = signal === null ? '' : `ended by ${signal} after at most ${RUN_MS_MAX} ms`;
      resolve({ status: status ?? -1, output: output(), errors: `${errors()}${killed}`.trim() });
    });
  });
}

function collected(stream: NodeJS.ReadableStream): () => string {
  const chunks: Buffer[] = [];
  let bytes = 0;
  stream.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= OUTPUT_BYTES_MAX) chunks.push(chunk);
  });
  return () => Buffer.concat(chunks).toString('utf8');
}
