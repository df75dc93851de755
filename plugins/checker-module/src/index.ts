/**
 * Watches whether another module serves, here or on another node, resource `module.<ident>`, or without ident `module.<name>_<addr>`,
 * and whether its application was started anew, resource `module.<ident>.restart`:
 *
 *     <module name="database"><to addr="192.0.2.20" port="9010" interval="10s" timeout="5s"/></module>
 */
import { Attributes, PeriodicCheck, type Plugin, readCheckHead } from '@holdfast/sdk';
import { isServing } from './probe.js';
import { RestartCheck } from './restart-check.js';

export const plugin: Plugin = {
  register(context) {
    context.checker('module', {
      create: ({ configuration, module }) => {
        const attributes = new Attributes('module', configuration);
        const to = attributes.child('to');
        const name = attributes.text('name');
        const address = to.text('addr');
        if (name === module && /^(?:127\.|::1$|localhost$)/.test(address)) {
          throw attributes.refusal(
            'HF_MODULE_CHECKS_ITSELF',
            `name="${name}" of <module> is this module: it would wait for itself`,
            'name',
          );
        }
        const named = new Attributes('module', { ident: `${name}_${address}`, ...configuration });
        const target = { module: name, address, port: to.number('port'), secure: to.flag('secure'), timeoutMs: to.number('timeout') };
        const head = readCheckHead(named);
        const restarts = new RestartCheck(head);
        return [
          new PeriodicCheck({
            ...head,
            intervalMs: to.number('interval'),
            timeoutMs: target.timeoutMs,
            test: (signal) => isServing(target, signal, (since) => restarts.note(since)),
          }),
          restarts,
        ];
      },
    });
  },
};
