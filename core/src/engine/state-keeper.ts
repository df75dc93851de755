/**
 * Writes the durable state of a module, one write at a time. A node whose disk does not take its state cannot give anything up durably, so
 * its peer would wait for it as long as it is heard. Such a node falls silent: it is lost, and the other may go on. It speaks again when
 * its state can be written again.
 */
import type { Durable } from '../decide/mirror/types.js';
import type { DurableFile } from './durable-file.js';

const RETRY_MS = 1000;

export class StateKeeper {
  private last: Promise<void> = Promise.resolve();
  private writing = 0;
  private failedMs: number | undefined;

  /** @param onChange told when the state cannot be written any more, and when it can again */
  constructor(
    private readonly file: Pick<DurableFile<Durable>, 'write'>,
    private readonly nowMs: () => number,
    private readonly onChange: (isFailing: boolean) => void,
  ) {}

  /** True from a write that failed to one that did not. */
  get isFailing(): boolean {
    return this.failedMs !== undefined;
  }

  /** Resolves when the state survives a power cut. @throws the disk's error */
  write(durable: Durable): Promise<void> {
    this.writing += 1;
    const written = this.last.then(() => this.file.write(durable));
    this.last = written.then(
      () => this.ended(undefined),
      () => this.ended(this.nowMs()),
    );
    return written;
  }

  /** To be called at every tick: tries again to write the present state, from time to time, when it could not be written. */
  tick(durable: Durable): void {
    if (this.failedMs === undefined || this.writing > 0 || this.nowMs() - this.failedMs < RETRY_MS) return;
    this.write(durable).catch(() => undefined); // the next tick knows
  }

  private ended(failedMs: number | undefined): void {
    const wasFailing = this.isFailing;
    this.writing -= 1;
    this.failedMs = failedMs;
    if (wasFailing !== this.isFailing) this.onChange(this.isFailing);
  }
}

/** For the log, when that changes. */
export function noteOfState(isFailing: boolean): string {
  return isFailing
    ? 'the state cannot be written: this node falls silent until it can, so that the other one may go on'
    : 'the state can be written again: this node speaks again';
}
