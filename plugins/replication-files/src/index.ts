/** Synchronous replication of directories through FUSE, as a plug-in. */
import type { Plugin } from '@holdfast/sdk';
import { FilesBackend } from './backend.js';

export const plugin: Plugin = {
  register(context) {
    context.replicationBackend('files', new FilesBackend());
  },
};
