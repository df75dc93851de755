/**
 * Watches that an address is there and usable on this node, resource `ip.<ident>`:
 *
 *     <ip ident="service" when="prim"><to addr="192.0.2.10" interval="10s"/></ip>
 */
import { Attributes, PeriodicCheck, type Plugin, readCheckHead } from '@holdfast/sdk';
import { judgeAddress, readAddressBytes } from './address.js';

/** A look at the kernel's tables takes no time worth a setting. */
const TIMEOUT_MS = 1000;

export const plugin: Plugin = {
  register(context) {
    context.checker('ip', {
      create: ({ configuration }) => {
        const attributes = new Attributes('ip', configuration);
        const to = attributes.child('to');
        const address = to.text('addr');
        if (readAddressBytes(address) === undefined) {
          throw to.refusal('HF_IP_ADDRESS', `addr="${address}" of <to> cannot be an address of a node`, 'addr');
        }
        return [
          new PeriodicCheck({
            ...readCheckHead(attributes),
            intervalMs: to.number('interval'),
            timeoutMs: TIMEOUT_MS,
            test: async () => judgeAddress(address),
          }),
        ];
      },
    });
  },
};
