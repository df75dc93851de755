/**
 * The replicator process: one per module. It serves the mounts and the link until the agent says stop, and ends when the agent's channel
 * closes: then nobody would decide for it. What is mounted then answers "not connected", and nothing more is acknowledged.
 */
import { HoldfastError } from '@holdfast/sdk';
import { EXIT_FINAL, failureOf, type ControlReport, type ControlRequest } from '../control.js';
import { prctl } from '../system/calls.js';
import { PR_SET_IO_FLUSHER, PR_SET_PDEATHSIG, SIGKILL } from '../system/constants.js';
import { spareFromOom } from './oom.js';
import { Replicator } from './replicator.js';

/** With mounts that are not what they should be, or a disk that fails, a successor would be no better. */
const FINAL: readonly string[] = ['HF_REPLICATION_UNMOUNTED', 'HF_REPLICATION_DISK'];

let replicator: Replicator | undefined;
let queue: Promise<void> = Promise.resolve();

function report(message: ControlReport): void {
  if (process.connected) process.send?.(message);
}

async function handle(request: ControlRequest): Promise<void> {
  if (request.kind === 'open') {
    replicator = new Replicator(request, report, (error) => {
      // Without its data thread this process serves nothing. Its end makes that visible to the kernel and to the agent.
      process.stderr.write(`${error.stack ?? error.message}\n`);
      process.exit(error instanceof HoldfastError && FINAL.includes(error.code) ? EXIT_FINAL : 70);
    });
    if (request.resume !== undefined) await replicator.resume(request.resume);
    return;
  }
  if (replicator === undefined) throw new HoldfastError('HF_REPLICATION_STATE', `"${request.kind}" before "open"`);
  if (request.kind === 'close') await replicator.close();
  else if (request.kind !== 'ping' && request.kind !== 'tick') await replicator.run(request);
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

spareFromOom();
// An agent that is killed takes this process with it, also one that is stopped.
prctl(PR_SET_PDEATHSIG, SIGKILL);
prctl(PR_SET_IO_FLUSHER, 1);
// The agent stops its modules itself; a signal to the process group must not take the data away before that.
process.on('SIGINT', () => undefined);
process.on('SIGTERM', () => undefined);
process.on('SIGHUP', () => {
  report({ kind: 'replace' });
});
process.on('disconnect', () => process.exit(0));
process.on('message', (request: ControlRequest) => {
  if (request.kind === 'ping') {
    report({ kind: 'pong' });
    return;
  }
  if (request.kind === 'tick') {
    replicator?.attention.note(request.atMs);
    return;
  }
  // `refuse` must not wait behind a stop that waits for the held writes.
  if (request.kind === 'refuse') void answer(request);
  else queue = queue.then(() => answer(request));
});
