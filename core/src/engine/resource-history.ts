/**
 * What happened to the resources of a module, bounded per resource and in all, kept over restarts of the agent. Changes are appended to a
 * file, one line of JSON each, together a moment later: ten thousand at once are one write. A line that a power cut tore is left out, and
 * what the last moments before it added may be missing: nothing is decided from this file. It is rewritten when most of it is outdated.
 */
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { messageOf, type Log } from '@holdfast/sdk';
import { syncDirectory } from './durable-file.js';

export interface HistoryEntry {
  /** ISO 8601. */
  readonly at: string;
  readonly value: string;
  readonly detail: string;
  /** Who said so, when it was said from outside. */
  readonly by?: string;
}

export const HISTORY_PER_RESOURCE_MAX = 50;
const HISTORY_PER_RESOURCE_MIN = 4;
export const HISTORY_ENTRIES_MAX = 50_000;
export const HISTORY_RESOURCES_MAX = 20_000;
const DETAIL_CHARS_MAX = 300;
const FLUSH_MS = 100;
/** Lines that a disk which fails may let wait. */
const WAITING_LINES_MAX = 50_000;
const OUTDATED_LINES_MIN = 10_000;
const LINES_PER_WRITE = 1_000;
const FILE_BYTES_MAX = 256 * 1024 * 1024;

export class ResourceHistory {
  /** The resource that changed last is the last. */
  private readonly pages = new Map<string, HistoryEntry[]>();
  private waiting: string[] = [];
  private entries = 0;
  private lines = 0;
  private timer: NodeJS.Timeout | undefined;
  private work: Promise<void> = Promise.resolve();
  private hasFailed = false;

  private constructor(
    private readonly path: string,
    private readonly log: Log,
  ) {}

  /** Never fails: a history that cannot be read begins anew. */
  static async open(path: string, log: Log): Promise<ResourceHistory> {
    const history = new ResourceHistory(path, log);
    await history.load();
    return history;
  }

  of(name: string): readonly HistoryEntry[] {
    return this.pages.get(name) ?? [];
  }

  add(name: string, entry: HistoryEntry): void {
    const bounded = entry.detail.length > DETAIL_CHARS_MAX ? { ...entry, detail: `${entry.detail.slice(0, DETAIL_CHARS_MAX)}…` } : entry;
    this.keep(name, bounded);
    if (this.waiting.length >= WAITING_LINES_MAX) this.waiting.splice(0, this.waiting.length / 2);
    this.waiting.push(lineOf(name, bounded));
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      void this.flush();
    }, FLUSH_MS).unref();
  }

  /** Resolves when everything that was added is in the file, or could not be written. */
  async flush(): Promise<void> {
    this.work = this.work.then(() => this.writeWaiting());
    await this.work;
  }

  async close(): Promise<void> {
    clearTimeout(this.timer);
    this.timer = undefined;
    await this.flush();
  }

  private keep(name: string, entry: HistoryEntry): void {
    const page = this.pages.get(name) ?? [];
    page.push(entry);
    this.pages.delete(name);
    this.pages.set(name, page);
    this.entries += 1;
    const share = Math.floor(HISTORY_ENTRIES_MAX / this.pages.size);
    const most = Math.max(HISTORY_PER_RESOURCE_MIN, Math.min(HISTORY_PER_RESOURCE_MAX, share));
    if (page.length > most) this.entries -= page.splice(0, page.length - most).length;
    if (this.pages.size > HISTORY_RESOURCES_MAX || this.entries > HISTORY_ENTRIES_MAX) this.forgetOldest();
  }

  private forgetOldest(): void {
    const [name = '', page = []] = this.pages.entries().next().value ?? [];
    this.entries -= page.length;
    this.pages.delete(name);
  }

  private async load(): Promise<void> {
    try {
      await mkdir(dirname(this.path), { recursive: true });
      const text = await readFile(this.path, 'utf8').catch((error: unknown) => {
        if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return '';
        throw error;
      });
      if (text.length > FILE_BYTES_MAX) throw new Error(`${text.length} characters are no history of ours`);
      for (const line of text.split('\n')) {
        const found = parseLine(line);
        if (found === undefined) continue;
        this.lines += 1;
        this.keep(...found);
      }
      // What a power cut left unfinished must not become part of the next line.
      if (text !== '' && !text.endsWith('\n')) this.lines = Number.MAX_SAFE_INTEGER;
    } catch (error) {
      this.fail(error);
    }
  }

  private async writeWaiting(): Promise<void> {
    if (this.waiting.length === 0) return;
    try {
      const outdated = this.lines + this.waiting.length - this.entries;
      if (outdated > Math.max(OUTDATED_LINES_MIN, this.entries)) await this.rewrite();
      else await this.append();
      this.hasFailed = false;
    } catch (error) {
      this.fail(error);
    }
  }

  private async append(): Promise<void> {
    const lines = this.waiting;
    const handle = await open(this.path, 'a', 0o640);
    try {
      await handle.appendFile(lines.join(''));
    } finally {
      await handle.close();
    }
    this.waiting = this.waiting.slice(lines.length);
    this.lines += lines.length;
  }

  /** A crash leaves the old file or the new one. */
  private async rewrite(): Promise<void> {
    const waited = this.waiting.length;
    const kept = [...this.pages].flatMap(([name, page]) => page.map((entry) => lineOf(name, entry)));
    const handle = await open(`${this.path}.new`, 'w', 0o640);
    try {
      for (let at = 0; at < kept.length; at += LINES_PER_WRITE) await handle.appendFile(kept.slice(at, at + LINES_PER_WRITE).join(''));
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(`${this.path}.new`, this.path);
    await syncDirectory(dirname(this.path));
    this.waiting = this.waiting.slice(waited);
    this.lines = kept.length;
  }

  private fail(error: unknown): void {
    if (this.hasFailed) return;
    this.hasFailed = true;
    this.log.warn('the history of the resources cannot be kept on disk', { path: this.path, error: messageOf(error) });
  }
}

function lineOf(name: string, { at, value, detail, by }: HistoryEntry): string {
  return `${JSON.stringify(by === undefined ? [name, at, value, detail] : [name, at, value, detail, by])}\n`;
}

function parseLine(line: string): [string, HistoryEntry] | undefined {
  try {
    const [name, at, value, detail, by, ...more] = JSON.parse(line) as unknown[];
    if (typeof name !== 'string' || typeof at !== 'string' || typeof value !== 'string' || typeof detail !== 'string' || more.length > 0) {
      return undefined;
    }
    return [name, { at, value, detail, ...(typeof by === 'string' ? { by } : {}) }];
  } catch {
    return undefined;
  }
}
