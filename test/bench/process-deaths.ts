/**
 * Runs on a node: starts a watched process, waits until its resource is up, kills it and prints how many milliseconds later the resource is
 * down, as the agent's own event stream tells it. Arguments: module, resource, command name, rounds, and `daemon` (as start scripts leave
 * processes behind) or `child` (of this program, which might start a successor).
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createClient } from '@holdfast/core/client';
import { messageOf } from '@holdfast/sdk';

const [module = '', resource = '', name = '', rounds = '1', kind = 'daemon'] = process.argv.slice(2);
const TURN_MS_MAX = 20_000;

const client = createClient({ baseUrl: 'http://127.0.0.1:9010', token: readFileSync('/etc/holdfast/api.token', 'utf8').trim() });
const ending = new AbortController();
let heard: (text: string) => void = () => undefined;

/** Fails when the agent says nothing of the kind. */
function said(value: 'up' | 'down'): Promise<number> {
  return new Promise((resolve, reject) => {
    const limit = setTimeout(() => reject(new Error(`${resource} is not ${value} after ${TURN_MS_MAX} ms`)), TURN_MS_MAX);
    heard = (text) => {
      if (!text.startsWith(`${resource} is ${value}:`)) return;
      clearTimeout(limit);
      resolve(performance.now());
    };
  });
}

async function start(): Promise<number> {
  if (kind === 'child') return spawn('sleep', ['600'], { argv0: name, stdio: 'ignore' }).pid ?? 0;
  const shell = spawn('bash', ['-c', 'exec -a "$0" sleep 600 >/dev/null & echo $!', name], { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  shell.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  await once(shell, 'close');
  return Number(output);
}

async function measure(): Promise<void> {
  for (let round = 0; round < Number(rounds); round += 1) {
    const up = said('up');
    const pid = await start();
    await up;
    // Until the next scan a daemon still seems to be a child of the shell that is gone, which makes no difference.
    const down = said('down');
    const killedMs = performance.now();
    process.kill(pid, 'SIGKILL');
    process.stdout.write(`${((await down) - killedMs).toFixed(2)}\n`);
  }
  ending.abort();
}

const opened = new Promise<void>((resolve, reject) => {
  const follow = async (): Promise<void> => {
    for await (const { text } of client.events({ module, signal: ending.signal, onOpen: resolve })) heard(text);
  };
  follow().catch(reject);
});
await opened;
try {
  await measure();
} catch (error) {
  // The event stream would keep the program alive.
  process.stderr.write(`${messageOf(error)}\n`);
  process.exit(1);
}
