/** The element, already validated against schemas/disk.json, as demands on a file system. */
import { Attributes, type CheckHead, type ElementValue, readCheckHead } from '@holdfast/sdk';

/** A part of the whole, or an amount. */
export type Amount = { readonly percent: number } | { readonly count: number };

export interface Demands {
  readonly path: string;
  readonly free: Amount;
  readonly inodes: Amount;
  /** Absent: no forecast. */
  readonly fullInMs?: number;
  readonly windowMs: number;
  readonly mustBeWritable: boolean;
  /** fsync: longest time. Absent: not limited. */
  readonly fsyncMsMax?: number;
  /** fsync: so many times its usual time. Absent: not limited. */
  readonly slowerMax?: number;
  /** fsync: so many times the other node's time. Absent: not compared. */
  readonly slowerThanPeerMax?: number;
  readonly timeoutMs: number;
}

const FACTOR: Readonly<Record<string, number>> = { K: 1024, M: 1024 ** 2, G: 1024 ** 3, T: 1024 ** 4 };

/** @throws HoldfastError for what the schema cannot refuse, naming the attribute */
export function readConfiguration(element: ElementValue): {
  readonly head: CheckHead;
  readonly demands: Demands;
  readonly intervalMs: number;
} {
  const attributes = new Attributes('disk', element);
  const to = attributes.child('to');
  const fullInMs = to.optionalNumber('full_in');
  const fsyncMsMax = to.optionalNumber('fsync');
  const slowerMax = to.optionalNumber('slower');
  const slowerThanPeerMax = to.optionalNumber('slower_than_peer');
  const head = readCheckHead(attributes);
  const intervalMs = to.number('interval');
  const windowMs = to.number('window');
  const timeoutMs = to.number('timeout');
  if (fullInMs !== undefined && windowMs < 2 * intervalMs) {
    const message = `window of <to> (${windowMs} ms) must be at least twice the interval (${intervalMs} ms): a forecast needs three looks`;
    throw to.refusal('HF_DISK_WINDOW', message, 'window');
  }
  if (fsyncMsMax !== undefined && fsyncMsMax >= timeoutMs) {
    const message = `fsync of <to> (${fsyncMsMax} ms) must be less than its timeout (${timeoutMs} ms), which is down by itself`;
    throw to.refusal('HF_DISK_FSYNC', message, 'fsync');
  }
  if (slowerThanPeerMax !== undefined && head.phase !== 'both' && head.phase !== 'pre') {
    const message = `slower_than_peer of <to> needs when="both" or "pre": with when="${head.phase}" the other node measures nothing`;
    throw to.refusal('HF_DISK_PEER', message, 'slower_than_peer');
  }
  const demands: Demands = {
    path: to.text('path'),
    free: readAmount(to, 'free'),
    inodes: readAmount(to, 'inodes'),
    windowMs,
    mustBeWritable: to.flag('readonly'),
    timeoutMs,
    ...(fullInMs === undefined ? {} : { fullInMs }),
    ...(fsyncMsMax === undefined ? {} : { fsyncMsMax }),
    ...(slowerMax === undefined ? {} : { slowerMax }),
    ...(slowerThanPeerMax === undefined ? {} : { slowerThanPeerMax }),
  };
  return { head, demands, intervalMs };
}

function readAmount(to: Attributes, name: string): Amount {
  const text = to.text(name);
  const number = Number(text.slice(0, -1));
  const unit = text.slice(-1);
  if (unit !== '%') return { count: number * (FACTOR[unit] ?? 1) };
  if (number > 100) throw to.refusal('HF_DISK_PERCENT', `${name}="${text}" of <to> is more than there is`, name);
  return { percent: number };
}
