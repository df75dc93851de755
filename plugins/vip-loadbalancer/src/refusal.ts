/**
 * Refuses the service ports of a module to everybody but this node itself and its peer, in a table of nftables of the module's own. Some
 * balancers send to all nodes when none is healthy, so an unhealthy answer to the probe is not enough. The client gets a reset and not
 * silence: a balancer tries the next node at once. The rules act before addresses are translated (priority -150), so that a service in a
 * container, whose published port is translated, is refused too. The table stays when the agent dies: what was refused stays refused.
 */
import { isIPv6 } from 'node:net';
import { HoldfastError } from '@holdfast/sdk';
import { type ProgramResult, runProgram } from './system-program.js';

/** `new`: connections that exist go on, so that the application can end them well. */
export type RefusalScope = 'none' | 'new' | 'all';

export interface RefusalParts {
  readonly module: string;
  readonly ports: readonly number[];
  /** IP literals; never refused. */
  readonly peers: readonly string[];
}

const PRIORITY = -150;

export class Refusal {
  readonly table: string;
  /** The table as the kernel listed it after it was made. */
  private listed = '';

  constructor(private readonly parts: RefusalParts) {
    this.table = `holdfast_${parts.module}`;
  }

  /** Whole or not at all; idempotent. @throws HoldfastError HF_LOADBALANCER_NFT_MISSING, _PERMISSION, _NFT */
  async set(scope: RefusalScope): Promise<void> {
    if (this.parts.ports.length === 0) return;
    const replaced = [`table inet ${this.table}`, `delete table inet ${this.table}`];
    succeeded(await runProgram('nft', ['-f', '-'], `${[...replaced, ...(scope === 'none' ? [] : this.rules(scope))].join('\n')}\n`));
    this.listed = scope === 'none' ? '' : ((await this.list()) ?? '');
  }

  /** Whether the kernel has what was set. @throws HoldfastError as `set` */
  async holds(): Promise<boolean> {
    return this.parts.ports.length === 0 || ((await this.list()) ?? '') === this.listed;
  }

  private async list(): Promise<string | undefined> {
    const result = await runProgram('nft', ['--stateless', 'list', 'table', 'inet', this.table]);
    if (result.status === 1 && result.errors.includes('No such file or directory')) return undefined;
    return succeeded(result).output;
  }

  private rules(scope: 'new' | 'all'): readonly string[] {
    const { ports, peers } = this.parts;
    const peersOf = (family: 4 | 6): string[] => peers.filter((peer) => isIPv6(peer) === (family === 6));
    const allowed = [['ip', peersOf(4)] as const, ['ip6', peersOf(6)] as const].flatMap(([family, found]) =>
      found.length === 0 ? [] : [`${family} saddr { ${[...new Set(found)].join(', ')} } accept`],
    );
    return [
      `table inet ${this.table} {`,
      'chain prerouting {',
      `type filter hook prerouting priority ${PRIORITY}; policy accept;`,
      'iifname "lo" accept',
      `tcp dport != { ${ports.join(', ')} } accept`,
      // A node that is a router too does not judge what it only passes on.
      'fib daddr type != local accept',
      ...allowed,
      ...(scope === 'new' ? ['tcp flags & (fin | syn | rst | ack) != syn accept'] : []),
      'meta l4proto tcp reject with tcp reset',
      '}',
      '}',
    ];
  }
}

function succeeded(result: ProgramResult): ProgramResult {
  if (result.status === 0) return result;
  if (result.status === undefined) {
    throw new HoldfastError(
      'HF_LOADBALANCER_NFT_MISSING',
      'nft is not installed, and the service ports cannot be refused without it: install the package nftables ' +
        '(apt-get install nftables, dnf install nftables), or leave port out of <loadbalancer>',
    );
  }
  if (/Operation not permitted/.test(result.errors)) {
    throw new HoldfastError(
      'HF_LOADBALANCER_PERMISSION',
      'the service ports cannot be refused: nftables needs CAP_NET_ADMIN in the network that the agent runs in; run the agent as root',
      { output: result.errors },
    );
  }
  throw new HoldfastError('HF_LOADBALANCER_NFT', `nft failed (status ${result.status}): ${result.errors || 'it said nothing'}`, {
    status: result.status,
    output: result.errors,
  });
}
