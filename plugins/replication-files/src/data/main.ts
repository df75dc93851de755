/**
 * The data thread: one blocking loop over everything that the data path waits for. One thread means no locks, and the order of
 * modifications is the order in which they were read. Commands of the main thread are taken from the message port when its eventfd says
 * so; reports go back at any time.
 */
import { parentPort, receiveMessageOnPort, workerData, type MessagePort } from 'node:worker_threads';
import { HoldfastError, messageOf } from '@holdfast/sdk';
import { EPOLLIN } from '../system/constants.js';
import { read } from '../system/calls.js';
import { EpollSet } from '../system/epoll.js';
import type { DataFailure, DataReport, DataRequest, DataSettings } from './messages.js';
import { Pool } from './pool.js';
import { DataReplica } from './replica.js';

const TICK_MS = 500;

const port = parentPort as MessagePort;
const settings = workerData as DataSettings;
const epoll = new EpollSet();
const pool = new Pool(epoll);
const report = (message: DataReport): void => {
  port.postMessage(message);
};
const replica = new DataReplica(settings, epoll, pool, report);
const eight = Buffer.alloc(8);
let isEnding = false;

function failureOf(error: unknown): DataFailure {
  if (error instanceof HoldfastError) return { code: error.code, message: error.message, details: error.details };
  return { code: 'HF_REPLICATION_SYSTEM', message: `HF_REPLICATION_SYSTEM: ${messageOf(error)}`, details: {} };
}

function takeCommands(): void {
  read(settings.wakeFd, eight, 8);
  for (;;) {
    const received = receiveMessageOnPort(port) as { message: DataRequest } | undefined;
    if (received === undefined) return;
    const { id, ...command } = received.message;
    if (command.kind === 'end') {
      isEnding = true;
      return;
    }
    try {
      replica.handle(command, () => {
        report({ kind: 'outcome', id, failure: undefined });
      });
    } catch (error) {
      report({ kind: 'outcome', id, failure: failureOf(error) });
    }
  }
}

epoll.add(settings.wakeFd, EPOLLIN, takeCommands);
let nextTickMs = performance.now() + TICK_MS;
let isBusy = false;
while (!isEnding) {
  epoll.wait(isBusy ? 0 : Math.max(0, Math.ceil(Math.min(nextTickMs - performance.now(), replica.sleepMaxMs))));
  if (performance.now() >= nextTickMs) {
    replica.tick();
    nextTickMs = performance.now() + TICK_MS;
  }
  isBusy = replica.turn();
}
pool.close();
epoll.close();
