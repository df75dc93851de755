/** A pool thread: waits for a job in its mailbox, makes the call, answers. See pool.ts. */
import { workerData } from 'node:worker_threads';
import { OUT_HEADER_BYTES, WRITE_BYTES_MAX } from '../fuse/protocol.js';
import * as sys from '../system/calls.js';
import { SYNC_FILE_RANGE_WRITE } from '../system/constants.js';
import { BOX, BOX_STATE, BOX_WORDS, CALLS, type PoolCall, type PoolWorkerData } from './pool-box.js';

const { shared, index, eventFd } = workerData as PoolWorkerData;
const box = new Int32Array(shared, index * BOX_WORDS * 4, BOX_WORDS);
const reply = Buffer.from(new ArrayBuffer(OUT_HEADER_BYTES + WRITE_BYTES_MAX));
const content = reply.subarray(OUT_HEADER_BYTES);
const one = Buffer.alloc(8);
one.writeBigUInt64LE(1n);

function word(at: number): number {
  return box[at] as number;
}

function offset(): number {
  return (word(BOX.offsetLow) >>> 0) + word(BOX.offsetHigh) * 4294967296;
}

/** Answers FUSE READ, unless it failed: that is for the data thread to judge. */
function readAndReply(): number {
  const outcome = sys.pread(word(BOX.fd), content, word(BOX.length), offset());
  if (outcome < 0) return outcome;
  const length = OUT_HEADER_BYTES + outcome;
  reply.writeUInt32LE(length, 0);
  reply.writeInt32LE(0, 4);
  reply.writeInt32LE(word(BOX.uniqueLow), 8);
  reply.writeInt32LE(word(BOX.uniqueHigh), 12);
  sys.write(word(BOX.replyFd), reply, length);
  return outcome;
}

function perform(call: PoolCall): number {
  switch (call) {
    case 'none':
      return 0;
    case 'fsync':
      return sys.fsync(word(BOX.fd));
    case 'fdatasync':
      return sys.fdatasync(word(BOX.fd));
    case 'syncfs':
      return sys.syncfs(word(BOX.fd));
    case 'write-back':
      return sys.syncFileRange(word(BOX.fd), offset(), word(BOX.length) >>> 0, SYNC_FILE_RANGE_WRITE);
    case 'read':
      return readAndReply();
    case 'close':
      return sys.close(word(BOX.fd));
    case 'load':
      return sys.pread(word(BOX.fd), content, Math.min(word(BOX.length), WRITE_BYTES_MAX), offset());
  }
}

for (;;) {
  const state = Atomics.load(box, BOX.state);
  if (state === BOX_STATE.ended) break;
  if (state !== BOX_STATE.posted) {
    Atomics.wait(box, BOX.state, state);
    continue;
  }
  box[BOX.outcome] = perform(CALLS[word(BOX.call)] as PoolCall);
  // The pool was closed meanwhile: nobody waits.
  if (Atomics.compareExchange(box, BOX.state, BOX_STATE.posted, BOX_STATE.done) !== BOX_STATE.posted) break;
  Atomics.notify(box, BOX.state);
  sys.write(eventFd, one, 8);
}
