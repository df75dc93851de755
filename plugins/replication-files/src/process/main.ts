/**
 * The replicator process: one per module. It serves the mounts and the link until the agent says stop, and ends when the agent's channel
 * closes: then nobody would decide for it. What is mounted then answers "not connected", and nothing more is acknowledged.
 */
import { writeFileSync } from 'node:fs';
import { HoldfastError } from '@holdfast/sdk';
import { failureOf, type ControlReport, type ControlRequest } from '../control.js';
import { prctl } from '../system/calls.js';
import { PR_SET_IO_FLUSHER } from '../system/constants.js';
import { Replicator } from './replicator.js';

/** Data of the application goes through this process: the kernel should sacrifice others first. */
const OOM_SCORE_ADJUST = -900;

let replicator: Replicator | undefined;
let queue: Promise<void> = Promise.resolve();

function report(message: ControlReport): void {
  if (process.connected) process.send?.(message);
}

async function handle(request: ControlRequest): Promise<void> {
  if (request.kind === 'open') {
    replicator = new Replicator(request.options, report, (error) => {
      // Without its data thread this process serves nothing. Its end makes that visible to the kernel and to the agent.
      process.stderr.write(`${error.stack ?? error.message}\n`);
      process.exit(70);
    });
    return;
  }
  if (replicator === undefined) throw new HoldfastError('HF_REPLICATION_STATE', `"${request.kind}" before "open"`);
  if (request.kind === 'close') await replicator.close();
  else await replicator.run(request);
}

async function answer(request: ControlRequest): Promise<void> {
  try {
    await handle(request);
    report({ kind: 'outcome', id: request.id });
  } catch (error) {
    report({ kind: 'outcome', id: request.id, failure: failureOf(error) });
  }
  if (request.kind === 'close') process.disconnect();
}

try {
  writeFileSync('/proc/self/oom_score_adj', String(OOM_SCORE_ADJUST));
} catch {
  // Not permitted in some containers: the default score is a risk, not an error.
}
prctl(PR_SET_IO_FLUSHER, 1);
// The agent stops its modules itself; a signal to the process group must not take the data away before that.
process.on('SIGINT', () => undefined);
process.on('SIGTERM', () => undefined);
process.on('disconnect', () => process.exit(0));
process.on('message', (request: ControlRequest) => {
  // `refuse` must not wait behind a stop that waits for the held writes.
  if (request.kind === 'refuse') void answer(request);
  else queue = queue.then(() => answer(request));
});
