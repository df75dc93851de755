/**
 * Runs a module's scripts: own process group, a time limit, the whole group killed when it is passed, output to a bounded file per run. A
 * script that does not exist is not an error (a module ships only those that it needs); one that exists and cannot be run is.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { constants } from 'node:fs';
import { access, mkdir, readdir, rm, stat } from 'node:fs/promises';
import { createWriteStream, type WriteStream } from 'node:fs';
import { join } from 'node:path';
import { HoldfastError, messageOf } from '@holdfast/sdk';

const KILL_GRACE_MS = 2000;
const LOGS_KEPT = 60;

export interface ScriptRun {
  readonly directory: string;
  readonly script: string;
  readonly arguments: readonly string[];
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
    const tail = await execute(path, run, log?.stream);
    if (tail !== undefined) throw tail;
    return { outcome: 'done', durationMs: performance.now() - began, ...(log === undefined ? {} : { log: log.path }) };
  } finally {
    if (log !== undefined) await new Promise<void>((resolve) => log.stream.end(resolve));
  }
}

function execute(path: string, run: ScriptRun, log: WriteStream | undefined): Promise<HoldfastError | undefined> {
  return new Promise((resolve) => {
    const child = spawn(path, run.arguments, {
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
      written += chunk.length;
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      killGroup(child);
    }, run.timeoutMs);
    const details = { script: run.script, arguments: run.arguments.join(' ') };
    child.once('error', (error) => {
      clearTimeout(timer);
      resolve(new HoldfastError('HF_SCRIPT_FAILED', `${run.script} could not be started: ${messageOf(error)}`, details));
    });
    // 'exit', not 'close': a daemon that the script started may keep the pipes open for ever.
    child.once('exit', (code, signal) => {
      clearTimeout(timer);
      child.stdout.destroy();
      child.stderr.destroy();
      child.unref();
      if (timedOut) {
        const message = `${run.script} ${details.arguments} did not end within ${run.timeoutMs} ms and was killed with its process group`;
        return resolve(new HoldfastError('HF_SCRIPT_TIMEOUT', message, details));
      }
      if (code === 0) return resolve(undefined);
      const how = code === null ? `was killed by ${signal ?? 'a signal'}` : `ended with status ${code}`;
      const said = tail.toString('utf8').trim().split('\n').slice(-3).join(' / ');
      resolve(new HoldfastError('HF_SCRIPT_FAILED', `${run.script} ${how}${said === '' ? '' : `: ${said}`}`, details));
    });
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
