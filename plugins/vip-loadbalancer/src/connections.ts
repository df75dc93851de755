/**
 * Ends the established connections of service ports at once: `ss -K` has the kernel destroy the sockets, which resets both ends. Where the
 * kernel cannot (CONFIG_INET_DIAG_DESTROY), or ss is missing, a client hears of it with the next packet that it sends, from the refusal;
 * one that only waits for an answer does not.
 */
import { isIPv6 } from 'node:net';
import type { Log } from '@holdfast/sdk';
import { runProgram } from './system-program.js';

export class Connections {
  /** @param kept addresses of hosts whose connections stay, IP literals: this node and its peer */
  constructor(
    private readonly ports: readonly number[],
    private readonly kept: () => readonly string[],
    private readonly log: Log,
  ) {}

  /** Best-effort: what is left is said in the log. @returns how many were ended */
  async reset(): Promise<number> {
    if (this.ports.length === 0) return 0;
    const killed = await this.ss(['-K']);
    if (killed === undefined) {
      this.log.warn('ss is not installed (package iproute2): connections to the service ports end with the next packet of their client');
      return 0;
    }
    const left = (await this.ss([])) ?? [];
    if (left.length > 0) {
      this.log.warn('connections to the service ports are left: this kernel cannot end them (CONFIG_INET_DIAG_DESTROY)', {
        connections: left.length,
      });
    }
    return Math.max(0, killed.length - left.length);
  }

  /** Lines of ss, one per connection; undefined: it is not installed. */
  private async ss(words: readonly string[]): Promise<readonly string[] | undefined> {
    const states = ['state', 'connected', 'exclude', 'time-wait'];
    const { status, output } = await runProgram('ss', ['-H', '-n', '-t', ...words, ...states, this.filter()]);
    return status === undefined ? undefined : output.split('\n').filter((line) => line.trim() !== '');
  }

  private filter(): string {
    const ports = this.ports.map((port) => `sport = :${port}`).join(' or ');
    const hosts = ['127.0.0.0/8', '::1', ...this.kept()].map((host) => `not dst ${isIPv6(host) ? `[${host}]` : host}`);
    return `( ${ports} ) and ${[...new Set(hosts)].join(' and ')}`;
  }
}
