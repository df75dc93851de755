/** The two halves of a 64-bit id: tables of numbers hold ids without an object for each. */

const whole = new BigUint64Array(1);
const halves = new Uint32Array(whole.buffer);

/** The low half; the high half is what `highOfLast` gives then. */
export function lowOf(id: bigint): number {
  whole[0] = id;
  return halves[0] as number;
}

/** The high half of the id that `lowOf` got last. */
export function highOfLast(): number {
  return halves[1] as number;
}

export function idOf(low: number, high: number): bigint {
  halves[0] = low;
  halves[1] = high;
  return whole[0] as bigint;
}
