/**
 * The event stream: log entries as server-sent events, `id` is the entry's sequence. A client that reconnects to one module's events with
 * Last-Event-ID gets what it missed from the log first. A client that reads too slowly is cut at a bound and may reconnect; it never costs
 * the agent more memory than that. Comment pings tell a dead connection from a quiet one.
 */
import { Readable } from 'node:stream';
import { HoldfastError } from '@holdfast/sdk';
import type { AgentService, LogEntry } from './contract.js';

export const EVENT_PING_MS = 15_000;
export const EVENT_CLIENT_BYTES_MAX = 256 * 1024;
export const EVENT_STREAMS_MAX = 64;
const EVENT_REPLAY_MAX = 1_000;

export interface EventFilter {
  readonly module?: string;
  /** Last sequence that the client has seen; only with a module. */
  readonly after?: number;
}

export class EventStreams {
  private readonly open = new Set<Readable>();
  private closed = false;

  constructor(private readonly service: AgentService) {}

  /** The body of one client's answer. Ends when the client goes, is too slow, or the server closes. */
  connect(filter: EventFilter): Readable {
    if (this.closed) throw new HoldfastError('HF_API_STOPPING', 'the agent is stopping');
    if (this.open.size >= EVENT_STREAMS_MAX) {
      throw new HoldfastError('HF_API_STREAMS_MAX', `${EVENT_STREAMS_MAX} event streams are open already; close one`);
    }
    // Data is pushed as it comes: the bound is checked in send(), not by read().
    const stream = new Readable({ read: () => undefined });
    this.open.add(stream);
    const client = new EventClient(stream, filter);
    const unsubscribe = this.service.subscribe((entry) => {
      client.receive(entry);
    });
    const ping = setInterval(() => {
      client.send(': ping\n\n');
    }, EVENT_PING_MS).unref();
    stream.once('close', () => {
      clearInterval(ping);
      unsubscribe();
      this.open.delete(stream);
    });
    client.send(': events\nretry: 2000\n\n');
    const { module, after } = filter;
    if (module === undefined || after === undefined) {
      client.live();
    } else {
      this.service.log(module, { after, limit: EVENT_REPLAY_MAX }).then(
        (missed) => {
          client.live(missed);
        },
        (error: unknown) => stream.destroy(error instanceof Error ? error : new Error(String(error))),
      );
    }
    return stream;
  }

  close(): void {
    this.closed = true;
    for (const stream of this.open) stream.push(null);
  }
}

class EventClient {
  /** Entries that come while the log is read for the replay; undefined once live. */
  private waiting: LogEntry[] | undefined = [];

  constructor(
    private readonly stream: Readable,
    private readonly filter: EventFilter,
  ) {}

  receive(entry: LogEntry): void {
    // Entries without module are the node's own: they concern every module, as in the module's log.
    if (this.filter.module !== undefined && entry.module !== this.filter.module && entry.module !== '') return;
    if (this.waiting === undefined) this.send(frameOf(entry));
    else if (this.waiting.length < EVENT_REPLAY_MAX) this.waiting.push(entry);
    else this.stream.destroy(new Error('more events than the replay can hold'));
  }

  /** What was missed, then what came meanwhile and is not in it, then everything as it comes. */
  live(missed: readonly LogEntry[] = []): void {
    const newest = missed.at(-1)?.sequence ?? Number.NEGATIVE_INFINITY;
    const waiting = this.waiting ?? [];
    this.waiting = undefined;
    for (const entry of [...missed, ...waiting.filter((entry) => entry.sequence > newest)]) this.send(frameOf(entry));
  }

  send(chunk: string): void {
    if (this.stream.destroyed || this.stream.readableEnded) return;
    this.stream.push(chunk);
    if (this.stream.readableLength > EVENT_CLIENT_BYTES_MAX) this.stream.destroy(new Error('the client reads its events too slowly'));
  }
}

function frameOf(entry: LogEntry): string {
  return `id: ${entry.sequence}\nevent: log\ndata: ${JSON.stringify(entry)}\n\n`;
}
