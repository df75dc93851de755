/** Watches a service by connecting to its TCP port: resource `tcp.<ident>`. */
import type { Checker, Plugin } from '@holdfast/sdk';
import { readConfiguration } from './configuration.js';
import { TcpCheck } from './tcp-check.js';

const checker: Checker = {
  create: ({ configuration }) => [new TcpCheck(readConfiguration(configuration))],
};

export const plugin: Plugin = {
  register: (context) => context.checker('tcp', checker),
};
