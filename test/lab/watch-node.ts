/**
 * Runs on a node: prints the module's view as one line of JSON whenever it changed, `null` when the agent does not answer. Until stdin
 * ends.
 */
import { readFileSync } from 'node:fs';
import { createClient } from '@holdfast/core/client';

const POLL_MS = 50;
const [module = ''] = process.argv.slice(2);
let shown = '';
let asking = false;

async function poll(): Promise<void> {
  if (asking) return;
  asking = true;
  let line = 'null';
  try {
    const token = readFileSync('/etc/holdfast/api.token', 'utf8').trim();
    const client = createClient({ baseUrl: 'http://127.0.0.1:9010', token });
    line = JSON.stringify(await client.module(module));
  } catch {
    line = 'null';
  } finally {
    asking = false;
  }
  if (line === shown) return;
  shown = line;
  process.stdout.write(`${line}\n`);
}

const timer = setInterval(() => void poll(), POLL_MS);
process.stdin.on('end', () => {
  clearInterval(timer);
});
process.stdin.resume();
