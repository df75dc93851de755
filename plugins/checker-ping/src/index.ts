/**
 * Watches a host by ICMP echo, resource `ping.<ident>`:
 *
 *     <ping ident="gateway" when="pre" action="wait"><to addr="192.0.2.1" interval="10s" timeout="5s"/></ping>
 */
import { Attributes, PeriodicCheck, type Plugin, readCheckHead } from '@holdfast/sdk';
import { ping } from './ping.js';

export const plugin: Plugin = {
  register(context) {
    context.checker('ping', {
      create: ({ configuration }) => {
        const attributes = new Attributes('ping', configuration);
        const to = attributes.child('to');
        const host = to.text('addr');
        const timeoutMs = to.number('timeout');
        return [
          new PeriodicCheck({
            ...readCheckHead(attributes),
            intervalMs: to.number('interval'),
            timeoutMs,
            test: (signal) => ping(host, timeoutMs, signal),
          }),
        ];
      },
    });
  },
};
