/** Other hosts as weak witness, below <witness> or as the split-brain checker of existing files. */
import type { Plugin, WitnessProvider } from '@holdfast/sdk';
import { readConfiguration } from './configuration.js';
import { PingWitness } from './witness.js';

const provider: WitnessProvider = {
  create: ({ configuration }) => new PingWitness(readConfiguration(configuration)),
};

export const plugin: Plugin = {
  register: (context) => {
    context.witness('ping', provider);
    context.witness('splitbrain', provider);
  },
};
