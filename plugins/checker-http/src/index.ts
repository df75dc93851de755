/**
 * Watches a service by an HTTP request and its answer, resource `http.<ident>`:
 *
 *     <http ident="shop" when="prim" action="restart"><to url="https://192.0.2.10/health" json="status" equals="ok" expires="14d"/></http>
 */
import { PeriodicCheck, type Plugin } from '@holdfast/sdk';
import { readConfiguration } from './configuration.js';
import { request } from './request.js';

export const plugin: Plugin = {
  register(context) {
    context.checker('http', {
      create: ({ configuration }) => {
        const { head, target, intervalMs } = readConfiguration(configuration);
        return [new PeriodicCheck({ ...head, intervalMs, timeoutMs: target.timeoutMs, test: (signal) => request(target, signal) })];
      },
    });
  },
};
