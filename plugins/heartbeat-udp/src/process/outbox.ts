/**
 * Messages to the agent, bounded. When the agent does not read (it is busy or stopped) the channel fills up; from OUTSTANDING_MAX on
 * only the newest heartbeat of each link, the newest report and the newest state of each link are kept, and rare messages all of them.
 */
import type { FromProcess } from '../channel.js';

const OUTSTANDING_MAX = 256;

export class Outbox {
  readonly #send: (message: FromProcess, done: () => void) => void;
  readonly #waiting = new Map<string, FromProcess>();
  #outstanding = 0;

  constructor(send: (message: FromProcess, done: () => void) => void) {
    this.#send = send;
  }

  post(message: FromProcess): void {
    if (this.#outstanding < OUTSTANDING_MAX) {
      this.#write(message);
      return;
    }
    const slot = slotOf(message);
    this.#waiting.delete(slot); // a renewed message goes to the end: order of arrival
    this.#waiting.set(slot, message);
  }

  #write(message: FromProcess): void {
    this.#outstanding += 1;
    this.#send(message, () => {
      this.#outstanding -= 1;
      const next = this.#waiting.entries().next();
      if (next.done === true) return;
      const [slot, waiting] = next.value;
      this.#waiting.delete(slot);
      this.#write(waiting);
    });
  }
}

/** Messages of one slot replace each other. A goodbye has its own slot: it must not be lost to a frame that overtook it. */
function slotOf(message: FromProcess): string {
  switch (message.kind) {
    case 'heartbeat':
      return `heartbeat ${message.session} ${message.heartbeat.link} ${message.heartbeat.goodbye}`;
    case 'link':
      return `link ${message.session} ${message.link}`;
    case 'opened':
    case 'refused':
    case 'failed':
    case 'closed':
      return `${message.kind} ${message.session}`;
    case 'ready':
    case 'report':
      return message.kind;
  }
}
