/** The ports of probes by HTTP and HTTPS on this node: modules that name the same port share its server, and are told apart by the path. */
import { readFile } from 'node:fs/promises';
import { HoldfastError, messageOf } from '@holdfast/sdk';
import { AddressListener } from './address-listener.js';
import type { ProbeSettings } from './configuration.js';
import { HttpProbe, type Verdict, type VerdictOf } from './http-probe.js';

const BACKLOG = 128;

export interface Probed {
  readonly module: string;
  /** Addresses of the balancer: some are delivered to the node without being listed as its own. */
  readonly addresses: readonly string[];
  readonly verdict: () => Verdict;
}

export interface ProbePort {
  /** Follows the addresses of the node. @throws HoldfastError HF_LOADBALANCER_PORT_TAKEN */
  refresh(): Promise<void>;
  leave(): Promise<void>;
}

interface SharedPort {
  readonly kind: string;
  readonly listener: AddressListener;
  readonly probe: HttpProbe;
  readonly modules: Map<string, Probed>;
}

export class ProbePorts {
  private readonly ports = new Map<number, SharedPort>();
  /** One comes or goes at a time. */
  private changing: Promise<unknown> = Promise.resolve();

  /** @throws HoldfastError HF_LOADBALANCER_PORT_TAKEN, HF_LOADBALANCER_PORT_SHARED, HF_LOADBALANCER_CERTIFICATE */
  join(settings: ProbeSettings, probed: Probed): Promise<ProbePort> {
    return this.alone(async () => {
      const shared = await this.sharedPort(settings, probed);
      return {
        refresh: () => this.alone(() => shared.listener.refresh()),
        leave: () => this.alone(() => this.leave(settings.port, probed)),
      };
    });
  }

  private async sharedPort(settings: ProbeSettings, probed: Probed): Promise<SharedPort> {
    const { port } = settings;
    const there = this.ports.get(port);
    const kind = JSON.stringify([settings.protocol, settings.certificate]);
    if (there !== undefined) {
      const others = [...there.modules.keys()];
      if (there.kind !== kind || there.modules.has(probed.module)) throw portShared(port, probed.module, others);
      there.modules.set(probed.module, probed);
      await there.listener.refresh();
      return there;
    }
    const modules = new Map([[probed.module, probed]]);
    const probe = await probeOf(settings, (module) => modules.get(module)?.verdict());
    const listener = new AddressListener({
      port,
      backlog: BACKLOG,
      more: () => [...modules.values()].flatMap(({ addresses }) => addresses),
      onConnection: (socket) => probe.take(socket),
    });
    await listener.open();
    const made = { kind, listener, probe, modules };
    this.ports.set(port, made);
    return made;
  }

  private async leave(port: number, probed: Probed): Promise<void> {
    const shared = this.ports.get(port);
    if (shared?.modules.get(probed.module) !== probed) return;
    shared.modules.delete(probed.module);
    if (shared.modules.size > 0) return;
    this.ports.delete(port);
    await shared.listener.close();
    shared.probe.close();
  }

  private alone<T>(change: () => Promise<T>): Promise<T> {
    const result = this.changing.then(change);
    this.changing = result.catch(() => undefined);
    return result;
  }
}

function portShared(port: number, module: string, others: readonly string[]): HoldfastError {
  const message = others.includes(module)
    ? `module ${module} has two <loadbalancer> elements: put their ports, addresses and probes into one`
    : `probe port ${port} of module ${module} has another protocol or certificate in module ${others.join(', ')}: ` +
      'make them alike, or give it another port';
  return new HoldfastError('HF_LOADBALANCER_PORT_SHARED', message, { port, module, others });
}

async function probeOf({ certificate }: ProbeSettings, verdictOf: VerdictOf): Promise<HttpProbe> {
  if (certificate === undefined) return new HttpProbe(verdictOf);
  const { certFile, keyFile } = certificate;
  try {
    return new HttpProbe(verdictOf, { cert: await readFile(certFile), key: await readFile(keyFile) });
  } catch (error) {
    const message = `the probe cannot be served by https with cert="${certFile}" and key="${keyFile}": ${messageOf(error)}`;
    throw new HoldfastError('HF_LOADBALANCER_CERTIFICATE', message, { certFile, keyFile }, { cause: error });
  }
}
