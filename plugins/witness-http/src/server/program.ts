/** What `holdfast witness …` does with the server's folder. */
import type { WitnessServerProgram } from '@holdfast/sdk';
import { addCluster, listClusters, readLastUse, removeCluster } from './folder.js';
import { serve } from './server.js';

export const witnessServer: WitnessServerProgram = {
  serve,
  add: async (dataDirectory, cluster) => {
    const key = await addCluster(dataDirectory, cluster);
    return { cluster, key, element: (server) => `<http server="${server}" cluster="${cluster}"/>` };
  },
  remove: removeCluster,
  list: async (dataDirectory) => listClusters(dataDirectory, await readLastUse(dataDirectory)),
};
