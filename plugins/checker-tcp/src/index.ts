/**
 * Watches a service by connecting to its TCP port, resource `tcp.<ident>`:
 *
 *     <tcp ident="web" when="prim" action="restart"><to addr="127.0.0.1" port="80" interval="10s" timeout="5s"/></tcp>
 */
import { Attributes, PeriodicCheck, type Plugin, readCheckHead } from '@holdfast/sdk';
import { tryConnection } from './connection.js';

export const plugin: Plugin = {
  register(context) {
    context.checker('tcp', {
      create: ({ configuration }) => {
        const attributes = new Attributes('tcp', configuration);
        const to = attributes.child('to');
        const target = { address: to.text('addr'), port: to.number('port'), timeoutMs: to.number('timeout') };
        return [
          new PeriodicCheck({
            ...readCheckHead(attributes),
            intervalMs: to.number('interval'),
            timeoutMs: target.timeoutMs,
            test: (signal) => tryConnection(target, signal),
          }),
        ];
      },
    });
  },
};
