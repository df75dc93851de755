/** The address of a load balancer: each node answers its health probe, and only the one that is ready has the service ports open. */
import type { Plugin } from '@holdfast/sdk';
import { BalancerDriver } from './driver.js';

export const plugin: Plugin = {
  register(context) {
    context.virtualIpDriver('loadbalancer', new BalancerDriver());
  },
};
