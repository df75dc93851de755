/**
 * The holder: keeps descriptors for the replicator, and nothing else, so that it has no reason to fail. While a descriptor of /dev/fuse is
 * open somewhere the kernel lets applications wait; when a replicator dies its successor gets the descriptors from here. Ends with the
 * agent, and with the last process that could ask it.
 */
import { prctl } from '../system/calls.js';
import { PR_SET_PDEATHSIG, SIGKILL } from '../system/constants.js';
import { close } from '../system/calls.js';
import { PassingSocket } from '../system/passing.js';
import { CUSTODY_MESSAGE_BYTES, VERB } from '../continuity/custody.js';
import { HOLDER_SOCKET_FD } from '../control.js';
import { spareFromOom } from './oom.js';

interface Entry {
  readonly kind: number;
  readonly number: number;
  readonly generation: number;
  readonly fd: number;
}

const socket = new PassingSocket(HOLDER_SOCKET_FD, CUSTODY_MESSAGE_BYTES);
const { message } = socket;
const entries = new Map<string, Entry>();
/** False once something could not be kept. */
let isComplete = true;

function put(entry: Entry): void {
  const key = `${entry.kind}:${entry.number}`;
  const before = entries.get(key);
  if (before !== undefined) close(before.fd);
  entries.set(key, entry);
}

function drop(kind: number, number: number, generation: number): void {
  const key = `${kind}:${number}`;
  const entry = entries.get(key);
  if (entry?.generation !== generation) return;
  close(entry.fd);
  entries.delete(key);
}

function dropAll(): void {
  for (const { fd } of entries.values()) close(fd);
  entries.clear();
  isComplete = true;
}

/** The token that came with the question goes back with every answer. */
function list(): void {
  for (const { kind, number, generation, fd } of entries.values()) {
    answer(VERB.item, kind, number, generation);
    if (socket.send(fd) < 0) isComplete = false;
  }
  answer(VERB.end, isComplete ? 1 : 0, entries.size, 0);
  socket.send(-1);
}

function answer(verb: number, kind: number, number: number, generation: number): void {
  message.writeUInt32LE(verb, 0);
  message.writeUInt32LE(kind, 4);
  message.writeUInt32LE(number, 8);
  message.writeUInt32LE(generation, 12);
}

spareFromOom();
prctl(PR_SET_PDEATHSIG, SIGKILL);
// The agent decides when this process ends, not a signal to the process group.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
for (;;) {
  const length = socket.receive();
  if (length !== CUSTODY_MESSAGE_BYTES) break;
  const kind = message.readUInt32LE(4);
  const number = message.readUInt32LE(8);
  const generation = message.readUInt32LE(12);
  switch (message.readUInt32LE(0)) {
    case VERB.keep:
      if (socket.receivedFd < 0 || socket.isCut) isComplete = false;
      else put({ kind, number, generation, fd: socket.receivedFd });
      break;
    case VERB.drop:
      drop(kind, number, generation);
      break;
    case VERB.dropAll:
      dropAll();
      break;
    case VERB.list:
      list();
      break;
    default:
      isComplete = false;
  }
}
process.exit(0);
