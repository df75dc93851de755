/** The secondary in the data thread: waits for the data connection of a welcomed primary and applies what comes. */
import { messageOf, type ReplicationEndpoint } from '@holdfast/sdk';
import { DirtySet, RecentSet } from '../journal/dirty-set.js';
import { Channel } from '../link/channel.js';
import { DataListener } from '../link/data-connection.js';
import { Applier } from '../secondary/applier.js';
import { eraseHistory, type History } from './history.js';
import type { DataCommand } from './messages.js';
import type { RoleSurroundings } from './surroundings.js';
import { readResult } from './verify-run.js';

type ExpectCommand = Extract<DataCommand, { kind: 'expect' }>;

export class SecondarySide {
  readonly #around: RoleSurroundings;
  readonly #listener: DataListener;
  readonly #recent = new RecentSet();
  #link: { readonly number: number; channel: Channel | undefined; applier: Applier | undefined } | undefined;
  /** What was known before a primary came; then: since when `#recent` counts. */
  #history: History | undefined;
  linkState: 'none' | 'resynchronising' | 'connected' = 'none';

  /** @throws HoldfastError HF_REPLICATION_LISTEN */
  constructor(around: RoleSurroundings, endpoint: ReplicationEndpoint, history: History | undefined) {
    this.#around = around;
    this.#history = history;
    this.#listener = new DataListener(around.epoll, endpoint, around.nowMs);
  }

  expect(command: ExpectCommand): void {
    if (this.#link !== undefined) this.dropLink(this.#link.number);
    if (command.isRestored) {
      const reason = 'this copy is older than the primary knows it: it was restored from a backup or a snapshot';
      this.#around.log('warn', `${reason}; everything is compared`);
      this.#around.marker.set(reason, 'compare');
      this.#around.changed();
    }
    const { number } = (this.#link = { number: command.link, channel: undefined, applier: undefined });
    this.#listener.expect(Buffer.from(command.keys.cookie), (fd) => {
      if (this.#link?.number === number) this.#connected(command, fd);
    });
  }

  #connected(command: ExpectCommand, fd: number): void {
    const { epoll, store, boundary, marker, pool, trash, settings, keeper, mark, nowMs, changed, linkLost } = this.#around;
    const { keys, link: number, async, generation } = command;
    const channel = new Channel(epoll, fd, {
      sendKey: Buffer.from(keys.sendKey),
      receiveKey: Buffer.from(keys.receiveKey),
      silenceMaxMs: settings.silenceMaxMs,
      nowMs,
      onMessages: (messages) => this.#link?.applier?.handle(messages),
      onLost: (error) => {
        this.#end();
        linkLost(number, error);
      },
    });
    const applier = new Applier({
      store,
      boundary,
      channel,
      marker,
      keeper,
      image: store.image,
      recent: this.#recent,
      mark: {
        connected: () => {
          mark.connected(generation, Buffer.from(keys.cookie).toString('hex'));
        },
        begin: () => mark.begin(),
        flushed: (number, isOnBoth) => {
          mark.flushed(number, isOnBoth);
        },
        confirmed: () => {
          mark.confirmed();
        },
      },
      pool,
      trash,
      async,
      onVerified: (text) => {
        this.#verified(text);
      },
      onState: (state) => {
        if (state === 'resynchronising') {
          eraseHistory(settings.stateDirectory);
          this.#history = undefined;
        } else this.#history = { base: generation, set: new DirtySet() };
        this.linkState = state;
        changed();
      },
      onFailed: (error) => {
        this.#end();
        linkLost(number, error);
      },
    });
    this.#link = { number, channel, applier };
    changed();
  }

  #verified(text: string): void {
    try {
      this.#around.verified(readResult(text));
    } catch (error) {
      this.#around.log('warn', `the primary told a result of a verification that cannot be read: ${messageOf(error)}`);
    }
  }

  dropLink(number: number): void {
    if (this.#link?.number !== number) return;
    this.#listener.expectNothing();
    this.#end();
  }

  #end(): void {
    const link = this.#link;
    this.#link = undefined;
    link?.applier?.close();
    link?.channel?.close();
    this.linkState = 'none';
    this.#around.changed();
  }

  turn(): void {
    this.#link?.channel?.flush();
  }

  tick(): void {
    this.#listener.tick();
    this.#link?.channel?.tick();
  }

  /** Everything received is applied. Ends the link and the listener. @returns what is known of the difference from the last primary */
  leave(): History | undefined {
    if (this.#link !== undefined) this.#end();
    this.#listener.close();
    this.#around.mark.settle();
    const history = this.#history;
    if (history === undefined || this.#around.marker.isSet) return undefined;
    const set = new DirtySet();
    set.merge(history.set);
    set.merge(this.#recent.all());
    return { base: history.base, set, ...(history.activity !== undefined && { activity: history.activity }) };
  }
}
