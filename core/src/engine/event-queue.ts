/**
 * Where facts wait for their turn: one is decided at a time, in the order in which they came, and what a decision brings about at once
 * comes after those that wait already.
 */

/** More means that decisions take longer than the world goes on: the agent is no good then. */
const EVENTS_MAX = 10_000;

export class EventQueue<Fact> {
  private readonly facts: Fact[] = [];
  private draining = false;
  private closed = false;

  constructor(private readonly decide: (fact: Fact) => void) {}

  get isEmpty(): boolean {
    return this.facts.length === 0;
  }

  push(fact: Fact): void {
    if (this.closed) return;
    if (this.facts.length >= EVENTS_MAX) throw new Error(`more than ${EVENTS_MAX} events wait for a decision`);
    this.facts.push(fact);
    if (this.draining) return;
    this.draining = true;
    try {
      for (let next = this.facts.shift(); next !== undefined; next = this.facts.shift()) this.decide(next);
    } finally {
      this.draining = false;
    }
  }

  /** What comes later is dropped. */
  close(): void {
    this.closed = true;
  }
}
