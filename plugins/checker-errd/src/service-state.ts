/**
 * What the node's service manager says of a service: systemd through `systemctl show` (no message bus of our own), a plain init through the
 * `status` of the service's script and its pid file. Nothing here waits longer than ANSWER_MS_MAX.
 */
import { execFile } from 'node:child_process';
import { readFile, stat } from 'node:fs/promises';

export interface ServiceState {
  readonly state: 'active' | 'starting' | 'stopped' | 'unknown';
  /** For people. */
  readonly detail: string;
  /** The process that the service stands and falls with, where there is one. */
  readonly mainPid?: number;
}

/** Where a service manager leaves its traces; another root in tests. */
export interface ServicePlaces {
  /** Exists when systemd runs: its own rule. */
  readonly systemd: string;
  readonly initScripts: string;
  readonly pidFiles: string;
}

export const SERVICE_PLACES: ServicePlaces = { systemd: '/run/systemd/system', initScripts: '/etc/init.d', pidFiles: '/run' };

const ANSWER_MS_MAX = 5000;
const OUTPUT_BYTES_MAX = 65_536;
/** Of `status`, by the Linux Standard Base. */
const RUNNING = 0;
const STOPPED: readonly number[] = [1, 2, 3];
const PROPERTIES = '--property=LoadState,ActiveState,SubState,MainPID,Result';

export async function lookAtService(name: string, places: ServicePlaces = SERVICE_PLACES): Promise<ServiceState> {
  return (await exists(places.systemd)) ? askSystemd(name) : askInit(name, places);
}

async function askSystemd(name: string): Promise<ServiceState> {
  const { status, output, problem } = await run('systemctl', ['show', PROPERTIES, '--', name]);
  if (status !== 0)
    return { state: 'unknown', detail: problem ?? `systemctl show ${name} ended with status ${status}: ${firstLine(output)}` };
  return parseSystemd(name, output);
}

/** `Property=value` lines. */
export function parseSystemd(name: string, output: string): ServiceState {
  const properties = new Map(output.split('\n').map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]));
  const active = properties.get('ActiveState') ?? '';
  const detail = `${name} is ${active} (${properties.get('SubState') ?? '?'})`;
  const mainPid = Number(properties.get('MainPID'));
  const main = Number.isInteger(mainPid) && mainPid > 0 ? { mainPid } : {};
  switch (active) {
    case 'active':
    case 'reloading':
    case 'refreshing':
      return { state: 'active', detail: mainPid > 0 ? `${detail}, pid ${mainPid}` : detail, ...main };
    case 'activating':
      return { state: 'starting', detail };
    case 'inactive':
    case 'deactivating':
    case 'failed':
    case 'maintenance':
      if (properties.get('LoadState') === 'not-found') return { state: 'unknown', detail: `systemd knows no service ${name} on this node` };
      return { state: 'stopped', detail: active === 'failed' ? `${detail}: ${properties.get('Result') ?? '?'}` : detail };
    default:
      return { state: 'unknown', detail: `systemctl says nothing of ${name} that is understood: "${firstLine(output)}"` };
  }
}

async function askInit(name: string, places: ServicePlaces): Promise<ServiceState> {
  const script = `${places.initScripts}/${name}`;
  const pid = await livingPid([`${places.pidFiles}/${name}.pid`, `${places.pidFiles}/${name}/${name}.pid`]);
  const main = typeof pid === 'number' ? { mainPid: pid } : {};
  if (await exists(script)) {
    const { status, output, problem } = await run(script, ['status']);
    if (status === RUNNING) return { state: 'active', detail: `${script} status: running`, ...main };
    if (STOPPED.includes(status)) return { state: 'stopped', detail: `${script} status ends with ${status}: ${firstLine(output)}` };
    return { state: 'unknown', detail: problem ?? `${script} status ends with ${status}: ${firstLine(output)}` };
  }
  if (pid === 'none') {
    return { state: 'unknown', detail: `neither systemd nor ${script} nor a pid file of ${name} is on this node` };
  }
  return pid === 'dead'
    ? { state: 'stopped', detail: `the process of its pid file is gone` }
    : { state: 'active', detail: `pid ${pid}`, ...main };
}

/** The process of the first of these files that there is. */
async function livingPid(files: readonly string[]): Promise<number | 'dead' | 'none'> {
  for (const file of files) {
    const text = await readFile(file, 'utf8').catch(() => undefined);
    if (text === undefined) continue;
    const pid = Number(/^\s*(\d{1,10})\s*$/m.exec(text)?.[1]);
    return pid > 0 && (await exists(`/proc/${pid}`)) ? pid : 'dead';
  }
  return 'none';
}

interface Answer {
  /** -1: it did not run, or not to its end. */
  readonly status: number;
  readonly output: string;
  readonly problem?: string;
}

function run(file: string, words: readonly string[]): Promise<Answer> {
  const env = { ...process.env, LC_ALL: 'C', SYSTEMD_COLORS: '0' };
  const limits = { timeout: ANSWER_MS_MAX, killSignal: 'SIGKILL', maxBuffer: OUTPUT_BYTES_MAX, env } as const;
  return new Promise((resolve) => {
    execFile(file, words, limits, (error, stdout, stderr) => {
      const output = `${stdout}${stderr}`;
      if (error === null) return resolve({ status: 0, output });
      if (error.killed === true)
        return resolve({ status: -1, output, problem: `${file} ${words[0]} did not answer within ${ANSWER_MS_MAX} ms` });
      if (typeof error.code === 'number') return resolve({ status: error.code, output });
      resolve({ status: -1, output, problem: `${file} could not be run: ${String(error.code)}` });
    });
  });
}

function firstLine(text: string): string {
  return (text.trim().split('\n')[0] ?? '').replaceAll(/\p{Cc}+/gu, ' ').slice(0, 200) || 'no output';
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
