/** An etcd cluster that exists already as witness: one key per module, changed by transactions. */
import type { Plugin, WitnessProvider } from '@holdfast/sdk';
import { readConfiguration } from './configuration.js';
import { EtcdWitness } from './witness.js';

const provider: WitnessProvider = {
  create: ({ cluster, module, configuration }) => new EtcdWitness(readConfiguration(configuration, cluster, module)),
};

export const plugin: Plugin = {
  register: (context) => context.witness('etcd', provider),
};
