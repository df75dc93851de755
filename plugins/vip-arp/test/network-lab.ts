/**
 * Two hosts on one Ethernet segment: two network namespaces joined by a veth pair. Each namespace exists for as long as its holder
 * process, and a holder ends when its standard input closes: nothing is left behind, however the test process ends.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { readlinkSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

export interface ListedAddress {
  readonly local: string;
  readonly prefixlen: number;
  readonly valid_life_time: number;
  readonly noprefixroute?: boolean;
}

export class Host {
  private readonly holder: ChildProcess;

  private constructor(holder: ChildProcess) {
    this.holder = holder;
  }

  static async start(): Promise<Host> {
    const holder = spawn('unshare', ['--net', 'cat'], { stdio: ['pipe', 'ignore', 'inherit'] });
    const host = new Host(holder);
    const own = readlinkSync('/proc/self/ns/net');
    await until('the namespace exists', () => readlinkSync(`/proc/${host.pid}/ns/net`) !== own);
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
    return execFileSync('nsenter', this.enter(...command), { encoding: 'utf8' });
  }

  /** The source that the kernel chooses for what this host sends to `destination`. */
  source(destination: string): string | undefined {
    const [route] = JSON.parse(this.run('ip', '-j', 'route', 'get', destination)) as { prefsrc?: string }[];
    return route?.prefsrc;
  }

  /** Interfaces that have an address, whatever its prefix length. */
  interfacesOf(text: string): readonly string[] {
    const links = JSON.parse(this.run('ip', '-j', 'address', 'show')) as { ifname: string; addr_info?: ListedAddress[] }[];
    return links.filter(({ addr_info: found }) => found?.some(({ local }) => local === text) === true).map(({ ifname }) => ifname);
  }

  /** The kernel's entry of an address on eth0. */
  address(text: string): ListedAddress | undefined {
    return this.addresses().find((entry) => entry.local === text);
  }

  addresses(): readonly ListedAddress[] {
    const links = JSON.parse(this.run('ip', '-j', 'address', 'show', 'dev', 'eth0')) as { addr_info?: ListedAddress[] }[];
    return links.flatMap((link) => link.addr_info ?? []);
  }

  get mac(): string {
    const [link] = JSON.parse(this.run('ip', '-j', 'link', 'show', 'dev', 'eth0')) as { address: string }[];
    assert(link !== undefined);
    return link.address;
  }

  /** Makes this host believe that `address` is at `mac`, as after talking to a previous owner. */
  learnNeighbour(address: string, mac: string): void {
    this.run('ip', 'neighbour', 'replace', address, 'lladdr', mac, 'dev', 'eth0', 'nud', 'reachable');
  }

  neighbour(address: string): string | undefined {
    const entries = JSON.parse(this.run('ip', '-j', 'neighbour', 'show', 'to', address, 'dev', 'eth0')) as { lladdr?: string }[];
    return entries[0]?.lladdr;
  }

  async stop(): Promise<void> {
    if (this.holder.exitCode !== null || this.holder.signalCode !== null) return;
    const exited = new Promise((resolve) => this.holder.once('exit', resolve));
    this.holder.stdin?.end();
    await exited;
  }
}

/** 10.77.0.1 and fd77::1 on the left, .2 and ::2 on the right, MTU and all else as the kernel makes it. */
export async function startPair(): Promise<readonly [left: Host, right: Host]> {
  const left = await Host.start();
  const right = await Host.start();
  left.run('ip', 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(right.pid));
  for (const [index, host] of [left, right].entries()) {
    host.run('ip', 'address', 'add', `10.77.0.${index + 1}/24`, 'dev', 'eth0');
    host.run('ip', 'address', 'add', `fd77::${index + 1}/64`, 'dev', 'eth0', 'nodad');
    host.run('ip', 'link', 'set', 'lo', 'up');
    host.run('ip', 'link', 'set', 'eth0', 'up');
  }
  await until('both ends have a carrier', () =>
    [left, right].every((host) => host.run('ip', 'link', 'show', 'dev', 'eth0').includes('LOWER_UP')),
  );
  return [left, right];
}

/** `count` hosts at one switch, 10.77.0.1 and fd77::1 for the first; the switch is the last of the list. */
export async function startSegment(count: number): Promise<readonly Host[]> {
  const atSwitch = await Host.start();
  atSwitch.run('ip', 'link', 'add', 'br0', 'type', 'bridge', 'mcast_snooping', '0');
  atSwitch.run('ip', 'link', 'set', 'br0', 'up');
  const hosts: Host[] = [];
  for (let number = 1; number <= count; number += 1) {
    const host = await Host.start();
    hosts.push(host);
    const port = `port${number}`;
    atSwitch.run('ip', 'link', 'add', port, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(host.pid));
    atSwitch.run('ip', 'link', 'set', port, 'master', 'br0', 'up');
    host.run('ip', 'address', 'add', `10.77.0.${number}/24`, 'dev', 'eth0');
    host.run('ip', 'address', 'add', `fd77::${number}/64`, 'dev', 'eth0', 'nodad');
    host.run('ip', 'link', 'set', 'lo', 'up');
    host.run('ip', 'link', 'set', 'eth0', 'up');
  }
  const forwards = (port: number): boolean => atSwitch.run('bridge', 'link', 'show', 'dev', `port${port}`).includes('state forwarding');
  await until('the switch forwards', () => hosts.every((_, index) => forwards(index + 1)));
  return [...hosts, atSwitch];
}

/** @throws when the condition does not hold within the deadline, saying what was waited for */
export async function until(what: string, condition: () => boolean | Promise<boolean>, deadlineMs = 4000): Promise<number> {
  const startedAtMs = performance.now();
  for (;;) {
    if (await condition()) return performance.now() - startedAtMs;
    if (performance.now() - startedAtMs > deadlineMs) assert.fail(`waited ${deadlineMs} ms in vain until ${what}`);
    await delay(20);
  }
}
