/**
 * A cluster behind a load balancer: the nodes in two subnets, clients in a third one, and HAProxy on the router between them, with the
 * configuration that the product prints for it.
 */
import { existsSync } from 'node:fs';
import { HoldfastError } from '@holdfast/sdk';
import type { ClusterOptions, LabCluster } from './cluster.js';
import { waitFor } from './deadline.js';
import type { RunningCommand } from './running-command.js';

/** Of the router, in the network of the clients. */
export const BALANCER = '10.50.3.1';
const HAPROXY = '/usr/sbin/haproxy';
const CONFIGURATION = '/etc/haproxy/haproxy.cfg';
const START_MS = 10_000;

/** Of the nodes, by the plan of the lab. */
export const NODE_ADDRESSES = { n1: '10.50.1.11', n2: '10.50.2.12' } as const;

/** Network 1 has n1, network 2 has n2, network 3 has the clients. */
export function behindBalancer(clients: readonly string[]): Pick<ClusterOptions, 'clients' | 'networks' | 'router'> {
  const networks = [
    { id: 1, members: ['n1'] },
    { id: 2, members: ['n2'] },
    { id: 3, members: clients },
  ];
  return { clients, networks, router: true };
}

/**
 * Makes the ledger of the catalogue one that listens on every address, behind the balancer.
 * @param more other ports that are refused with the ledger's
 */
export function ledgerBehindBalancer(xml: string, more: readonly number[] = []): string {
  const ports = ['%PORT%', ...more].join(',');
  return xml
    .replace(/<interface_list>.*<\/interface_list>/s, `<loadbalancer port="${ports}"><virtual_addr addr="${BALANCER}"/></loadbalancer>`)
    .replace('name="LEDGER_ADDRESS" value="%VIRTUAL_IP%"', 'name="LEDGER_ADDRESS" value="0.0.0.0"')
    .replace('<to addr="%VIRTUAL_IP%"', '<to addr="127.0.0.1"');
}

export class LabBalancer {
  private constructor(readonly haproxy: RunningCommand) {}

  /** @throws HF_LAB_TOOL when HAProxy is not installed */
  static async start(cluster: LabCluster): Promise<LabBalancer> {
    if (!existsSync(HAPROXY)) throw new HoldfastError('HF_LAB_TOOL', 'not found: haproxy; apt-get install haproxy');
    const router = cluster.lab.node('router');
    await router.writeFile(CONFIGURATION, await cluster.cli('n1', ['vip', 'example', '-m', cluster.module, '--for', 'haproxy']));
    const haproxy = router.spawn([HAPROXY, '-db', '-f', CONFIGURATION]);
    await waitFor('HAProxy to listen', START_MS, async () => {
      if (!haproxy.running) throw new HoldfastError('HF_LAB_COMMAND_ENDED', `haproxy ended: ${haproxy.lastOutput(20)}`);
      return /:8080\b/.test(await router.run(['ss', '-Hltn']));
    });
    return new LabBalancer(haproxy);
  }
}
