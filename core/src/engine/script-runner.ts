/**
 * Runs a module's scripts: own process group, a time limit, the whole group killed when it is passed, output to a bounded file per run. A
 * script that does not exist is not an error (a module ships only those that it needs); one that exists and cannot be run is. Its first
 * line names its interpreter; without one it is the shell's, as shells take it.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { constants } from 'node:fs';
import { access, mkdir, open, readdir, rm, stat } from 'node:fs/promises';
import { createWriteStream, type WriteStream } from 'node:fs';
import { join } from 'node:path';
import { HoldfastError, messageOf } from '@holdfast/sdk';

const KILL_GRACE_MS = 2000;
/** Of a module; each has at most `userlogsize`. */
export const LOGS_KEPT = 60;
const SHELL = '/bin/sh';
const FIRST_LINE_BYTES = 256;
/** After it was killed; what cannot be killed waits for a disk or a file system that does not answer. */
const DEAD_MS_MAX = 1000;
/** A group that cannot be joined is no reason not to run. */
const JOIN = '{ echo 0 >"$0"; } 2>/dev/null; exec "$@"';

export interface ScriptRun {
  readonly directory: string;
  readonly script: string;
  readonly arguments: readonly string[];
  /** A command that runs the script: its words before the script's path. */
  readonly through?: readonly string[];
  /** File of a control group that the script joins before it begins. */
  readonly joins?: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  /** Folder for `userlog_<date>_<script>.ulog`; undefined: output is dropped. */
  readonly logDirectory?: string;
  readonly logBytesMax: number;
}

export interface ScriptResult {
  readonly outcome: 'done' | 'missing';
  readonly durationMs: number;
  readonly log?: string;
}

/** The last bytes of output are what an operator needs; keeping them in the error saves a look into the log. */
const TAIL_BYTES = 400;

/** @throws HoldfastError HF_SCRIPT_NOT_EXECUTABLE, HF_SCRIPT_FAILED (exit status or signal), HF_SCRIPT_TIMEOUT. */
export async function runScript(run: ScriptRun): Promise<ScriptResult> {
  const path = join(run.directory, run.script);
  const began = performance.now();
  if (
    !(await stat(path).then(
      (found) => found.isFile(),
      () => false,
    ))
  )
    return { outcome: 'missing', durationMs: 0 };
  await access(path, constants.X_OK).catch(() => {
    throw new HoldfastError('HF_SCRIPT_NOT_EXECUTABLE', `${run.script} is not executable: chmod +x ${path}`, { path });
  });
  const log = await openLog(run);
  try {
    const interpreter = await interpreterOf(path);
    // An interpreter that is missing is told by the kernel to whoever starts the script: then nothing comes in between.
    const joins = run.joins !== undefined && (await isThere(interpreter));
    const command = [
      ...(joins ? [SHELL, '-c', JOIN, run.joins ?? ''] : []),
      ...(run.through ?? []),
      ...(interpreter === undefined ? [SHELL] : []),
      path,
      ...run.arguments,
    ];
    const failure = await execute(command, run, log?.stream, interpreter);
    if (failure !== undefined) throw failure;
    return { outcome: 'done', durationMs: performance.now() - began, ...(log === undefined ? {} : { log: log.path }) };
  } finally {
    if (log !== undefined) await new Promise<void>((resolve) => log.stream.end(resolve));
  }
}

/** @returns undefined when the file does not begin with `#!` and is no program of the machine either */
async function interpreterOf(path: string): Promise<string | undefined> {
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(FIRST_LINE_BYTES), 0, FIRST_LINE_BYTES, 0);
    const line = buffer.subarray(0, bytesRead).toString('latin1').split('\n')[0] ?? '';
    if (line.startsWith('#!')) return line.slice(2).trimStart();
    return line.startsWith('\x7fELF') ? 'none' : undefined;
  } finally {
    await file.close();
  }
}

async function isThere(interpreter: string | undefined): Promise<boolean> {
  const program = interpreter?.split(/[ \t]/)[0];
  if (program === undefined || program === 'none') return true;
  return access(program, constants.X_OK).then(
    () => true,
    () => false,
  );
}

function execute(
  [file = '', ...words]: readonly string[],
  run: ScriptRun,
  log: WriteStream | undefined,
  interpreter: string | undefined,
): Promise<HoldfastError | undefined> {
  return new Promise((resolve) => {
    const child = spawn(file, words, {
      cwd: run.directory,
      env: { ...run.environment },
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let tail = Buffer.alloc(0);
    let written = 0;
    const take = (chunk: Buffer): void => {
      tail = Buffer.concat([tail, chunk]).subarray(-TAIL_BYTES);
      if (written < run.logBytesMax) log?.write(chunk.subarray(0, run.logBytesMax - written));
      if (written <= run.logBytesMax && written + chunk.length > run.logBytesMax)
        log?.write('\n[further output is dropped: userlogsize]\n');
      written += chunk.length;
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    let timedOut = false;
    let givingUp: NodeJS.Timeout | undefined;
    const timer = setTimeout(() => {
      timedOut = true;
      killGroup(child);
      givingUp = setTimeout(() => {
        finish(null, null);
      }, KILL_GRACE_MS + DEAD_MS_MAX);
    }, run.timeoutMs);
    const details = { script: run.script, arguments: run.arguments.join(' ') };
    child.once('error', (error) => {
      clearTimeout(timer);
      const cause = interpreter?.endsWith('\r') === true ? '; its lines end with carriage returns: convert it with dos2unix' : '';
      const by = interpreter === undefined || interpreter === 'none' ? '' : ` by its interpreter "${interpreter.trim()}"`;
      resolve(new HoldfastError('HF_SCRIPT_FAILED', `${run.script} could not be started${by}: ${messageOf(error)}${cause}`, details));
    });
    // 'exit', not 'close': a daemon that the script started may keep the pipes open for ever.
    child.once('exit', (code, signal) => {
      clearTimeout(timer);
      // After one more turn of the event loop everything that the script wrote has been read.
      setImmediate(() => setImmediate(finish, code, signal));
    });
    const finish = (code: number | null, signal: NodeJS.Signals | null): void => {
      clearTimeout(givingUp);
      child.stdout.destroy();
      child.stderr.destroy();
      child.unref();
      if (timedOut) {
        const isDead = child.exitCode !== null || child.signalCode !== null;
        const end = isDead ? 'was killed with its process group' : 'cannot be killed';
        const message = `${run.script} ${details.arguments} did not end within ${run.timeoutMs} ms and ${end}`;
        return resolve(new HoldfastError('HF_SCRIPT_TIMEOUT', message, details));
      }
      if (code === 0) return resolve(undefined);
      const how = code === null ? `was killed by ${signal ?? 'a signal'}` : `ended with status ${code}`;
      const said = tail.toString('utf8').trim().split('\n').slice(-3).join(' / ');
      resolve(new HoldfastError('HF_SCRIPT_FAILED', `${run.script} ${how}${said === '' ? '' : `: ${said}`}`, details));
    };
  });
}

function killGroup(child: ChildProcess): void {
  const { pid } = child;
  if (pid === undefined) return;
  signalGroup(pid, 'SIGTERM');
  setTimeout(() => {
    signalGroup(pid, 'SIGKILL');
  }, KILL_GRACE_MS);
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // The group has ended by itself.
  }
}

async function openLog(run: ScriptRun): Promise<{ path: string; stream: WriteStream } | undefined> {
  if (run.logDirectory === undefined) return undefined;
  await mkdir(run.logDirectory, { recursive: true });
  await dropOldLogs(run.logDirectory);
  const at = new Date().toISOString().replace(/[-:]/g, '').replace('Z', '');
  const forced = run.arguments[0] === 'force' ? '_force' : '';
  const path = join(run.logDirectory, `userlog_${at}_${run.script}${forced}.ulog`);
  // Appending: two runs of a script may fall into the same millisecond.
  const stream = createWriteStream(path, { flags: 'a', mode: 0o600 });
  stream.on('error', () => undefined);
  return { path, stream };
}

async function dropOldLogs(directory: string): Promise<void> {
  const names = (await readdir(directory)).filter((name) => name.endsWith('.ulog')).sort();
  for (const name of names.slice(0, Math.max(0, names.length - LOGS_KEPT + 1))) await rm(join(directory, name), { force: true });
}
