/**
 * A clock of its own for the Node processes of one node, loaded before everything else (`NODE_OPTIONS=--import=…`): `Date` is off by as
 * many milliseconds as the file says, from the moment that it says so. The machine's clock, and the times that the kernel puts into files,
 * are not touched; monotonic clocks have no date and do not jump.
 */
import { readFileSync } from 'node:fs';

const file = process.env['HOLDFAST_CLOCK_SHIFT_FILE'];
const LOOK_MS = 50;
const RealDate = Date;
let shiftMs = 0;
let lookedAtMs = -Infinity;

function now(): number {
  const atMs = performance.now();
  if (file !== undefined && atMs - lookedAtMs > LOOK_MS) {
    lookedAtMs = atMs;
    try {
      shiftMs = Number(readFileSync(file, 'utf8')) || 0;
    } catch {
      shiftMs = 0; // no file, no shift
    }
  }
  return RealDate.now() + shiftMs;
}

globalThis.Date = new Proxy(RealDate, {
  get: (target, name, receiver) => (name === 'now' ? now : (Reflect.get(target, name, receiver) as unknown)),
  construct: (target, words, newTarget) => Reflect.construct(target, words.length === 0 ? [now()] : words, newTarget) as object,
  apply: () => new RealDate(now()).toString(),
});
