/**
 * A cable that takes its time: hands the frames of two interfaces of the switch to each other, later than they came and in their order.
 * `slow-cable.js IFACE IFACE DELAY_MS JITTER_MS`; prints `ready`, and ends by a signal or with one of the interfaces.
 */
import { writeSync } from 'node:fs';
import { ETHERTYPE, PacketSocket, waitForFrames } from './packet-socket.js';

interface Waiting {
  readonly dueMs: number;
  readonly frame: Buffer;
}

const [left = '', right = '', delayText = '0', jitterText = '0'] = process.argv.slice(2);
const delayMs = Number(delayText);
const jitterMs = Number(jitterText);
const IDLE_MS = 1000;
/** More are dropped, as a switch does. */
const WAITING_MAX = 10_000;

const sockets = [left, right].map((name) => new PacketSocket(name, ETHERTYPE.all, { offloadHeader: true }));
const queues: Waiting[][] = [[], []];
writeSync(1, 'ready\n');
for (;;) {
  const nextMs = Math.min(...queues.map((queue) => queue[0]?.dueMs ?? Infinity));
  waitForFrames(sockets, Math.max(0, Math.min(IDLE_MS, Math.ceil(nextMs - performance.now()))));
  for (const [from, socket] of sockets.entries()) {
    const queue = queues[from] as Waiting[];
    for (let frame = socket.receive(); frame !== undefined; frame = socket.receive()) {
      if (queue.length >= WAITING_MAX) continue;
      const dueMs = performance.now() + delayMs + (Math.random() * 2 - 1) * jitterMs;
      queue.push({ dueMs: Math.max(dueMs, queue.at(-1)?.dueMs ?? 0), frame: Buffer.from(frame) });
    }
    while ((queue[0]?.dueMs ?? Infinity) <= performance.now()) sockets[1 - from]?.send((queue.shift() as Waiting).frame);
  }
}
