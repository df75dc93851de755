/** What an example is made from, and what it is. Pure: the same cluster and module always give the same text. */
import { isIPv6 } from 'node:net';
import { HoldfastError } from '@holdfast/sdk';
import type { VirtualAddressView } from '../core.js';

export interface BalancedModule {
  readonly module: string;
  readonly nodes: readonly { readonly name: string; readonly address: string }[];
  /** TCP ports of the service; never empty. */
  readonly ports: readonly number[];
  /** Addresses of the balancer; may be empty. */
  readonly addresses: readonly string[];
  readonly probe: { readonly protocol: 'http' | 'https' | 'tcp'; readonly port: number; readonly path: string };
}

export interface Example {
  readonly text: string;
  /** Whether it was made to work with the real thing. */
  readonly isTried: boolean;
}

type Value = VirtualAddressView['elements'][number]['value'];

const PROBE_PORT_DEFAULT = 9010;
/** By path tells most, so it is preferred. */
const PREFERRED = ['http', 'https', 'tcp'] as const;

/** @throws HoldfastError HF_CLI_NO_BALANCER when the module is not configured for one */
export function balancedModule({ module, nodes, elements }: VirtualAddressView): BalancedModule {
  const value = elements.find(({ element }) => element === 'loadbalancer')?.value;
  if (value === undefined) {
    const message =
      `module ${module} has no <loadbalancer> in <vip>: add <loadbalancer port="…"/> with the TCP ports of the service, ` +
      `and apply it (holdfast module config -m ${module})`;
    throw new HoldfastError('HF_CLI_NO_BALANCER', message, { module });
  }
  const ports = (typeof value['port'] === 'string' ? value['port'] : '')
    .split(',')
    .map(Number)
    .filter((port) => port > 0);
  if (ports.length === 0) {
    const message = `<loadbalancer> of module ${module} names no service port: write port="…", which ports are forwarded is not known`;
    throw new HoldfastError('HF_CLI_NO_BALANCER', message, { module });
  }
  const known = nodes.map(({ name, addresses }) => ({ name, address: addresses[0] ?? '' }));
  const addresses = childrenOf(value, 'virtual_addr').flatMap(({ addr }) => (typeof addr === 'string' ? [addr] : []));
  return { module, nodes: known, ports, addresses, probe: probeOf(module, value) };
}

function probeOf(module: string, value: Value): BalancedModule['probe'] {
  const probes = childrenOf(value, 'probe');
  const found = PREFERRED.map((proto) => probes.find((probe) => probe['proto'] === proto)).find((probe) => probe !== undefined);
  const protocol = PREFERRED.find((proto) => proto === found?.['proto']) ?? 'http';
  const port = typeof found?.['port'] === 'number' ? found['port'] : PROBE_PORT_DEFAULT;
  return { protocol, port, path: `/var/modules/${module}/ready.txt` };
}

function childrenOf(value: Value, name: string): readonly Value[] {
  const found = value[name];
  return typeof found === 'object' ? found : [];
}

/** `10.0.0.1:80`, `[fd00::1]:80`. */
export function place(address: string, port: number): string {
  return isIPv6(address) ? `[${address}]:${port}` : `${address}:${port}`;
}

/** Names of frontends, pools and rules: one per service port. */
export function nameOf({ module }: BalancedModule, port: number): string {
  return `${module}-${port}`;
}

/** One sentence about what this is, at its head. */
export function headOf(balanced: BalancedModule, what: string): readonly string[] {
  const nodes = balanced.nodes.map(({ name, address }) => `${name} ${address}`).join(', ');
  return [`${what} for module ${balanced.module} of Holdfast (${nodes}).`, 'Made by "holdfast vip example".'];
}

export function commented(comment: string, lines: readonly string[]): readonly string[] {
  return lines.map((line) => `${comment} ${line}`);
}
