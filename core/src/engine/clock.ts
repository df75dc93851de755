/** Time and chance as the engine hands them to the decisions. */
import { randomBytes } from 'node:crypto';

export interface Clock {
  /** CLOCK_MONOTONIC, milliseconds: the same clock in every process of this machine. */
  monotonicMs(): number;
  wallMs(): number;
  /** An unused generation id. */
  freshGeneration(): string;
}

export const systemClock: Clock = {
  monotonicMs: () => Number(process.hrtime.bigint()) / 1e6,
  wallMs: () => Date.now(),
  freshGeneration: () => randomBytes(16).toString('hex'),
};
