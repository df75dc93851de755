/**
 * Makes the virtual addresses of one module: reads the configuration, finds the interfaces, opens the sockets. Everything that could stop
 * a takeover later (a missing capability, an unknown interface) is found here, before the node is needed.
 */
import { readFileSync } from 'node:fs';
import type { ElementValue, VirtualIp, VirtualIpDriver, VirtualIpOptions } from '@holdfast/sdk';
import { ArpVirtualIp } from './arp-virtual-ip.js';
import { readWishedAddresses } from './configuration.js';
import { permissionMissing } from './held-addresses.js';
import { parseIpAddress } from './ip-address.js';
import { ERRNO, SystemCallFailed } from './libc.js';
import { NetworkLink } from './network-link.js';
import { placeAddress, refuseTwoSources } from './placement.js';
import { Rtnetlink } from './rtnetlink.js';

const CAPABILITIES = [
  { name: 'CAP_NET_ADMIN', bit: 12n },
  { name: 'CAP_NET_RAW', bit: 13n },
] as const;

export const arpDriver: VirtualIpDriver = {
  addresses(configuration: ElementValue): readonly string[] {
    return readWishedAddresses(configuration, []).map(({ address }) => address.text);
  },

  async create(options: VirtualIpOptions): Promise<VirtualIp> {
    const wished = readWishedAddresses(options.configuration, options.localAddresses);
    assertCapabilities();
    const rtnetlink = new Rtnetlink();
    const links = new Map<string, NetworkLink>();
    try {
      const localAddresses = new Set(options.localAddresses.map((text) => parseIpAddress(text)?.text ?? text));
      const kernelLinks = rtnetlink.links();
      const kernelAddresses = rtnetlink.addresses();
      const placed = wished.map((one) => placeAddress(one, kernelLinks, kernelAddresses, localAddresses));
      refuseTwoSources(placed);
      for (const name of new Set(placed.map(({ interfaceName }) => interfaceName))) {
        const addresses = placed.filter(({ interfaceName }) => interfaceName === name).map(({ address }) => address);
        links.set(name, new NetworkLink(name, addresses, rtnetlink));
      }
      return new ArpVirtualIp({ placed, links, rtnetlink, lifetimeMs: options.lifetimeMs, log: options.log });
    } catch (error) {
      await Promise.all([...links.values()].map((link) => link.close()));
      await rtnetlink.close();
      // Effective capabilities of a user namespace do not reach the network it was started in: the socket tells.
      if (error instanceof SystemCallFailed && error.errno === ERRNO.EPERM) throw permissionMissing('CAP_NET_RAW', error);
      throw error;
    }
  },
};

function assertCapabilities(): void {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1] ?? '0';
  const mask = BigInt(`0x${effective}`);
  for (const { name, bit } of CAPABILITIES) if (((mask >> bit) & 1n) === 0n) throw permissionMissing(name);
}
