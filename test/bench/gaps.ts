/** What a client says of its answers, and how long it had none: pure. */

export interface Answer {
  /** When it was complete, by the machine's monotonic clock. */
  readonly atMs: number;
  /** Name of the node that gave it. */
  readonly node: string;
}

/** A line of the request client, `MILLISECONDS NODE`. @returns undefined for any other text */
export function parseAnswer(line: string): Answer | undefined {
  const [, at, node] = /^(\d+(?:\.\d+)?) ([a-z][a-z0-9-]*)$/.exec(line) ?? [];
  return at === undefined || node === undefined ? undefined : { atMs: Number(at), node };
}

/**
 * How long the service was away: from the last answer of `from` before its first by `to`, in the order in which they were complete.
 * @param sinceMs when the fault, or the command, began
 * @returns undefined while `to` has not answered since
 */
export function outageMs(answers: readonly Answer[], from: string, to: string, sinceMs: number): number | undefined {
  const ordered = [...answers].sort((a, b) => a.atMs - b.atMs);
  const first = ordered.find(({ node, atMs }) => node === to && atMs >= sinceMs);
  if (first === undefined) return undefined;
  const last = ordered.findLast(({ node, atMs }) => node === from && atMs <= first.atMs);
  return last === undefined ? undefined : first.atMs - last.atMs;
}

/** Moments within a second, evenly spread over the rounds: faults must not keep time with the heartbeats of any of those compared. */
export function phaseMs(round: number, rounds: number): number {
  return (1000 * (round - 0.5)) / rounds;
}
