/** Times between the wire, statx and utimensat. */
import type { Stat } from '../system/stat.js';
import type { TimeSpec } from '../wire/messages.js';

export const TIMES_BYTES = 32;

/** Two `struct timespec` for utimensat: atime, mtime. An undefined time stays as it is. */
export function timesBuffer(atime: TimeSpec | undefined, mtime: TimeSpec | undefined): Buffer {
  const out = Buffer.alloc(TIMES_BYTES);
  put(out, 0, atime);
  put(out, 16, mtime);
  return out;
}

const UTIME_OMIT = 0x3ffffffe;

function put(out: Buffer, at: number, time: TimeSpec | undefined): void {
  out.writeBigInt64LE(BigInt(time?.seconds ?? 0), at);
  out.writeBigInt64LE(BigInt(time?.nanoseconds ?? UTIME_OMIT), at + 8);
}

/** Further from 1970 no number is exact, and no application means it: the nearest time that can travel. */
export function secondsOf(value: bigint): number {
  return Math.max(-Number.MAX_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, Number(value)));
}

export function atimeOf(stat: Stat): TimeSpec {
  return { seconds: secondsOf(stat.atimeSeconds), nanoseconds: stat.atimeNanoseconds };
}

export function mtimeOf(stat: Stat): TimeSpec {
  return { seconds: secondsOf(stat.mtimeSeconds), nanoseconds: stat.mtimeNanoseconds };
}
