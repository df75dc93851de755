/** The checker against a real haproxy that hangs: the kernel accepts for it until its queue is full. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { CheckResult } from '@holdfast/sdk';
import { createdChecks } from '@holdfast/sdk/testkit/created';
import { plugin } from '../src/index.js';

const SCHEMA: unknown = JSON.parse(readFileSync(new URL('../../schemas/tcp.json', import.meta.url), 'utf8'));
/** The kernel keeps one connection more than the queue is long. */
const BACKLOG = 2;

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

describe('TCP checker with haproxy', function () {
  this.timeout(60_000);
  const fillers: Socket[] = [];
  let folder = '';
  let haproxy: ChildProcess;
  let port = 0;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'holdfast-haproxy-'));
    port = await freePort();
    const file = join(folder, 'haproxy.cfg');
    const times = 'timeout connect 1s\n  timeout client 5s\n  timeout server 5s';
    writeFileSync(file, `defaults\n  mode http\n  ${times}\nfrontend all\n  bind 127.0.0.1:${port}\n  backlog ${BACKLOG}\n`);
    haproxy = spawn('/usr/sbin/haproxy', ['-db', '-f', file], { stdio: 'ignore' });
  });
  after(async () => {
    for (const filler of fillers) filler.destroy();
    if (haproxy.exitCode === null) {
      const ended = new Promise((resolve) => haproxy.once('exit', resolve));
      haproxy.kill('SIGKILL');
      await ended;
    }
    rmSync(folder, { recursive: true, force: true });
  });

  it('is down once a stopped haproxy has a full queue, and up when haproxy goes on', async () => {
    const [check] = createdChecks(plugin, SCHEMA, { ident: 'web', to: [{ addr: '127.0.0.1', port, interval: 50, timeout: 300 }] });
    assert(check !== undefined);
    let newest: CheckResult | undefined;
    const until = async (verdict: string, detail: RegExp): Promise<void> => {
      const beganMs = performance.now();
      while (newest?.verdict !== verdict || !detail.test(newest.detail)) {
        assert(performance.now() - beganMs < 20_000, `waited in vain for ${verdict} ${detail}; heard ${JSON.stringify(newest)}`);
        await delay(5);
      }
    };
    await check.start((result) => (newest = result));
    try {
      await until('up', /connected/);
      haproxy.kill('SIGSTOP');
      for (let count = 0; count < BACKLOG + 2; count += 1) {
        fillers.push(connect({ host: '127.0.0.1', port }).on('error', () => undefined));
      }
      await until('down', /within 300 ms: timed out/);
      for (const filler of fillers.splice(0)) filler.destroy();
      haproxy.kill('SIGCONT');
      await until('up', /connected/);
    } finally {
      await check.stop();
    }
  });
});
