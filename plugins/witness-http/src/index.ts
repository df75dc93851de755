/** A witness server for hundreds of clusters (`witnessServer`, run by `holdfast witness serve`), and the nodes' side of it (`plugin`). */
import type { Plugin, WitnessProvider } from '@holdfast/sdk';
import { readConfiguration } from './client/configuration.js';
import { HttpWitness } from './client/witness.js';

export { witnessServer } from './server/program.js';

const provider: WitnessProvider = {
  create: ({ module, configuration, configurationDirectory }) =>
    new HttpWitness(module, readConfiguration(configuration, configurationDirectory)),
};

export const plugin: Plugin = {
  register: (context) => context.witness('http', provider),
};
