/**
 * Modules that could not be loaded when the agent started. What was in the way may pass by itself (a full disk, an interface that comes up
 * late, a server that a name is resolved by), so each is tried again until it runs, or until an operator configures or removes it.
 */
import type { ModuleEntry } from './node-files.js';

const RETRY_MS = 5000;

export class LoadRetries {
  private readonly waiting = new Map<string, NodeJS.Timeout>();
  private isClosed = false;

  /** @param load resolves when the module runs, or must not be loaded any more; rejects when it is still refused */
  constructor(
    private readonly load: (entry: ModuleEntry) => Promise<void>,
    private readonly retryMs = RETRY_MS,
  ) {}

  /** The module was refused: it is tried again, until it is loaded or `forget` is called. */
  add(entry: ModuleEntry): void {
    if (this.isClosed) return;
    clearTimeout(this.waiting.get(entry.name));
    const timer = setTimeout(() => {
      void this.load(entry).then(
        () => {
          if (this.waiting.get(entry.name) === timer) this.waiting.delete(entry.name);
        },
        () => {
          if (this.waiting.get(entry.name) === timer) this.add(entry);
        },
      );
    }, this.retryMs);
    this.waiting.set(entry.name, timer);
  }

  /** An operator has taken the module into his hands. */
  forget(name: string): void {
    clearTimeout(this.waiting.get(name));
    this.waiting.delete(name);
  }

  close(): void {
    this.isClosed = true;
    for (const name of [...this.waiting.keys()]) this.forget(name);
  }
}
