/** Notices that the other node runs with another configuration: not at once, because both change it one after the other. */

const SETTLED_MS = 5_000;

export class PeerDifference {
  private seen = '';
  private sinceMs = 0;
  private said = '';

  constructor(private readonly module: string) {}

  /** @returns a sentence, once for each difference that has lasted */
  take(own: string, peer: string | undefined, other: string, nowMs: number): string | undefined {
    const pair = peer === undefined || peer === own ? '' : `${own} ${peer}`;
    if (pair !== this.seen) {
      this.seen = pair;
      this.sinceMs = nowMs;
    }
    if (peer === undefined || pair === '' || pair === this.said || nowMs - this.sinceMs < SETTLED_MS) return undefined;
    this.said = pair;
    const both = `"holdfast module config -m ${this.module}" applies this node's to both`;
    return `${other} has another configuration (${peer.slice(0, 12)}): ${both}`;
  }
}
