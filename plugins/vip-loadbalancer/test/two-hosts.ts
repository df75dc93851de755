/**
 * A node and a client on one Ethernet segment: two network namespaces joined by a veth pair. Each namespace exists for as long as its
 * holder process, and a holder ends when its standard input closes: nothing is left behind, however the test process ends.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { readlinkSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

export const NODE = '10.78.0.1';
export const NODE_IPV6 = 'fd78::1';
export const CLIENT = '10.78.0.2';
/** A second address of the client's host. */
export const PEER = '10.78.0.3';

export class Host {
  private constructor(private readonly holder: ChildProcess) {}

  static async start(): Promise<Host> {
    const host = new Host(spawn('unshare', ['--net', 'cat'], { stdio: ['pipe', 'ignore', 'inherit'] }));
    const own = readlinkSync('/proc/self/ns/net');
    await until('the namespace exists', () => readlinkSync(`/proc/${host.pid}/ns/net`) !== own);
    host.run('ip', 'link', 'set', 'lo', 'up');
    return host;
  }

  get pid(): number {
    assert(this.holder.pid !== undefined, 'the namespace holder did not start');
    return this.holder.pid;
  }

  /** Arguments of `nsenter` that run a command inside. */
  enter(...command: string[]): string[] {
    return ['--target', String(this.pid), '--net', '--', ...command];
  }

  run(...command: string[]): string {
    return execFileSync('nsenter', this.enter(...command), { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  }

  /** The rules that refuse ports, as nftables lists them. */
  tables(): readonly string[] {
    return this.run('nft', 'list', 'tables')
      .split('\n')
      .filter((line) => line !== '');
  }

  async stop(): Promise<void> {
    if (this.holder.exitCode !== null || this.holder.signalCode !== null) return;
    const exited = new Promise((resolve) => this.holder.once('exit', resolve));
    this.holder.stdin?.end();
    await exited;
  }
}

export async function startHosts(): Promise<readonly [node: Host, client: Host]> {
  const node = await Host.start();
  const client = await Host.start();
  node.run('ip', 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(client.pid));
  for (const [host, addresses] of [
    [node, [NODE, NODE_IPV6]],
    [client, [CLIENT, PEER, 'fd78::2']],
  ] as const) {
    for (const address of addresses) {
      const isIpv6 = address.includes(':');
      host.run('ip', 'address', 'add', `${address}/${isIpv6 ? 64 : 24}`, 'dev', 'eth0', ...(isIpv6 ? ['nodad'] : []));
    }
    host.run('ip', 'link', 'set', 'eth0', 'up');
  }
  await until('both ends have a carrier', () =>
    [node, client].every((host) => host.run('ip', 'link', 'show', 'dev', 'eth0').includes('LOWER_UP')),
  );
  return [node, client];
}

/** @throws when the condition does not hold within the deadline, saying what was waited for */
export async function until(what: string, condition: () => boolean | Promise<boolean>, deadlineMs = 4000): Promise<number> {
  const startedAtMs = performance.now();
  for (;;) {
    if (await condition()) return performance.now() - startedAtMs;
    if (performance.now() - startedAtMs > deadlineMs) assert.fail(`waited ${deadlineMs} ms in vain until ${what}`);
    await delay(10);
  }
}
