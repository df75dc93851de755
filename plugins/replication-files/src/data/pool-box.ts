/** The mailboxes between the data thread and its pool, in shared memory: what both sides must agree on. See pool.ts. */

/** `none`: what a worker answers when it has started. */
export type PoolCall = 'none' | 'fsync' | 'fdatasync' | 'syncfs' | 'write-back' | 'read' | 'load' | 'close';

/** Words of one mailbox. */
export const BOX = {
  state: 0,
  call: 1,
  fd: 2,
  outcome: 3,
  length: 4,
  offsetLow: 5,
  offsetHigh: 6,
  replyFd: 7,
  uniqueLow: 8,
  uniqueHigh: 9,
} as const;
export const BOX_WORDS = 16;
export const BOX_STATE = { idle: 0, posted: 1, done: 2, ended: 3 } as const;
export const CALLS: readonly PoolCall[] = ['none', 'fsync', 'fdatasync', 'syncfs', 'write-back', 'read', 'load', 'close'];

export interface PoolWorkerData {
  readonly shared: SharedArrayBuffer;
  readonly index: number;
  readonly eventFd: number;
}
