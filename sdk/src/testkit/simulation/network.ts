/**
 * A network between named nodes: datagrams are delayed, lost, doubled and overtaken; every direction can be cut by itself. What arrives is
 * decided when it arrives: a datagram that is under way when the direction is cut is lost.
 */
import type { Random } from './random.js';
import type { Schedule } from './schedule.js';

export interface Weather {
  readonly delayMsMax: number;
  /** Of a datagram, 0 to 1. */
  readonly loss: number;
  readonly duplication: number;
}

export const FAIR_WEATHER: Weather = { delayMsMax: 5, loss: 0, duplication: 0 };

export class Network {
  weather: Weather = FAIR_WEATHER;
  readonly #cuts = new Set<string>();

  constructor(
    private readonly schedule: Schedule,
    private readonly random: Random,
  ) {}

  cut(from: string, to: string): void {
    this.#cuts.add(`${from}>${to}`);
  }

  heal(): void {
    this.#cuts.clear();
    this.weather = FAIR_WEATHER;
  }

  passes(from: string, to: string): boolean {
    return this.#cuts.size === 0 || !this.#cuts.has(`${from}>${to}`);
  }

  get isWhole(): boolean {
    return this.#cuts.size === 0;
  }

  /** Unreliable and unordered. */
  send(from: string, to: string, arrive: () => void): void {
    const { delayMsMax, loss, duplication } = this.weather;
    if (loss > 0 && this.random.chance(loss)) return;
    const copies = duplication > 0 && this.random.chance(duplication) ? 2 : 1;
    for (let copy = 0; copy < copies; copy += 1) {
      this.schedule.after(1 + this.random.below(delayMsMax), () => {
        if (this.passes(from, to)) arrive();
      });
    }
  }
}
