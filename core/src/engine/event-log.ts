/**
 * The module's log: one JSON line per event in two files that are exchanged when the first is full, and the newest entries in memory for
 * the API. For an operator at three in the morning: node, module, what happened, why, what comes next.
 */
import { appendFileSync, mkdirSync, readFileSync, renameSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { LogEntry } from '../api/contract.js';

const FILE_BYTES_MAX = 4 * 1024 * 1024;
const ENTRIES_KEPT = 2000;

export class EventLog {
  private readonly entries: LogEntry[] = [];
  private readonly listeners = new Set<(entry: LogEntry) => void>();
  private sequence = 0;
  private bytes = 0;

  constructor(
    private readonly path: string,
    private readonly node: string,
  ) {
    mkdirSync(dirname(path), { recursive: true });
    this.load();
  }

  private load(): void {
    for (const file of [`${this.path}.1`, this.path]) {
      let text = '';
      try {
        text = readFileSync(file, 'utf8');
      } catch {
        continue;
      }
      for (const line of text.split('\n')) {
        // The last line may be torn by a power cut.
        try {
          if (line !== '') this.keep(JSON.parse(line) as LogEntry);
        } catch {
          continue;
        }
      }
    }
    this.sequence = this.entries.at(-1)?.sequence ?? 0;
    try {
      this.bytes = statSync(this.path).size;
    } catch {
      this.bytes = 0;
    }
  }

  private keep(entry: LogEntry): void {
    this.entries.push(entry);
    if (this.entries.length > ENTRIES_KEPT) this.entries.splice(0, this.entries.length - ENTRIES_KEPT);
  }

  /** Never throws: a full disk must not stop a failover. */
  write(level: LogEntry['level'], module: string, component: string, text: string, fields?: Readonly<Record<string, unknown>>): void {
    this.sequence += 1;
    const at = new Date().toISOString();
    const entry: LogEntry = {
      at,
      node: this.node,
      module,
      level,
      component,
      text,
      ...(fields === undefined ? {} : { fields }),
      sequence: this.sequence,
    };
    this.keep(entry);
    try {
      const line = `${JSON.stringify(entry)}\n`;
      if (this.bytes + line.length > FILE_BYTES_MAX) {
        renameSync(this.path, `${this.path}.1`);
        this.bytes = 0;
      }
      appendFileSync(this.path, line, { mode: 0o640 });
      this.bytes += line.length;
    } catch {
      // Kept in memory; the disk checker tells about the disk.
    }
    for (const listener of this.listeners) listener(entry);
  }

  query(module: string, query: { after?: number; limit?: number; levels?: string }): readonly LogEntry[] {
    const { after = 0, limit = 300, levels } = query;
    const matching = this.entries.filter(
      (entry) => (entry.module === module || entry.module === '') && entry.sequence > after && (levels?.includes(entry.level) ?? true),
    );
    return matching.slice(-limit);
  }

  subscribe(listener: (entry: LogEntry) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
}
