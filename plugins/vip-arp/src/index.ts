/** Virtual addresses on one subnet: added with a lifetime, announced by gratuitous ARP and unsolicited neighbour advertisements. */
import type { Plugin } from '@holdfast/sdk';
import { arpDriver } from './driver.js';

export const plugin: Plugin = {
  register(context) {
    context.virtualIpDriver('arp', arpDriver);
  },
};
