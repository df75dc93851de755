/**
 * Makes the address of one module. What could stop a takeover later (a probe port that somebody has, nft that is missing) is found here,
 * before the node is needed. From here on the probe answers 503 and the service ports are refused, until the application is ready.
 */
import type { ElementValue, VirtualIp, VirtualIpDriver, VirtualIpOptions } from '@holdfast/sdk';
import { BalancerAddress } from './balancer-address.js';
import { readSettings } from './configuration.js';
import { ProbePorts } from './probe-ports.js';

export class BalancerDriver implements VirtualIpDriver {
  /** Of all modules of the node. */
  private readonly ports = new ProbePorts();

  examine(configuration: ElementValue): void {
    readSettings(configuration);
  }

  async create(options: VirtualIpOptions): Promise<VirtualIp> {
    const address = new BalancerAddress(readSettings(options.configuration), options, this.ports);
    try {
      await address.open();
    } catch (error) {
      await address.close();
      throw error;
    }
    return address;
  }
}
