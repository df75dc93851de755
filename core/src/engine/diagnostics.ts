/** Diagnostics of the agent and its plug-ins: JSON lines on stderr through pino, for journald or a file to keep. */
import { destination, pino, type Logger } from 'pino';
import type { Log } from '@holdfast/sdk';

export class Diagnostics {
  readonly logger: Logger;

  constructor(node: string, level: string) {
    // Synchronous: the last lines before a crash are the ones that matter.
    this.logger = pino({ level, base: { node }, redact: ['key', 'token', 'clusterKey'] }, destination({ dest: 2, sync: true }));
  }

  of(labels: Readonly<Record<string, string>>): Log {
    const child = this.logger.child(labels);
    return {
      debug: (message, fields) => {
        child.debug(fields ?? {}, message);
      },
      info: (message, fields) => {
        child.info(fields ?? {}, message);
      },
      warn: (message, fields) => {
        child.warn(fields ?? {}, message);
      },
      error: (message, fields) => {
        child.error(fields ?? {}, message);
      },
    };
  }
}
