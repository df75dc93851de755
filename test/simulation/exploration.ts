/** `--explore`: the bounds within which everything is tried, and what came of it. */
import type { Crew } from './crew.js';
import type { Exploration, ExploreOptions } from './explore/explorer.js';
import type { ExploreTask } from './task.js';

type Bound = Pick<ExploreOptions, 'faults' | 'commands' | 'kinds' | 'writes'>;

/** The first five have an end, the fifth after 800,000 states; of the others as much is tried as the limit of states lets through. */
const BOUNDS: readonly Bound[] = [
  { faults: 0, commands: 1 },
  { faults: 4, commands: 0, kinds: ['witness'] },
  { faults: 1, commands: 0, kinds: ['order'], writes: false },
  { faults: 1, commands: 0, kinds: ['power of n1'], writes: false },
  { faults: 1, commands: 0, kinds: ['power of n2'], writes: false },
  { faults: 0, commands: 2 },
  { faults: 1, commands: 0 },
  { faults: 1, commands: 1 },
  { faults: 2, commands: 0 },
];

function nameOf({ faults, commands, kinds, writes }: Bound): string {
  const what = kinds === undefined ? '' : ` (${kinds.join(', ')})`;
  return `${faults} faults${what}, ${commands} commands${writes === false ? ', no writes' : ''}`;
}

interface Summary {
  states: number;
  depth: number;
  exhausted: boolean;
  violations: number;
  seconds: number;
  readonly bounds: (Bound & Pick<Exploration, 'states' | 'depth' | 'frontier' | 'exhausted'>)[];
}

export async function exploreAll(crew: Crew, states: number, depth: number, isJson: boolean): Promise<boolean> {
  const beganMs = performance.now();
  const summary: Summary = { states: 0, depth: 0, exhausted: true, violations: 0, seconds: 0, bounds: [] };
  const tasks = BOUNDS.map((bounds): ExploreTask => ({ kind: 'explore', options: { ...bounds, states, depth } }));
  await crew.perform(tasks, ({ options }, { exploration }) => {
    if (exploration === undefined) return;
    const { violation, path = [], frontier, exhausted } = exploration;
    summary.states += exploration.states;
    summary.depth = Math.max(summary.depth, exploration.depth);
    summary.exhausted &&= exploration.exhausted;
    const end = exhausted ? 'all there are' : `the limit; ${frontier} in the frontier`;
    process.stderr.write(`${nameOf(options)}: ${exploration.states} states, depth ${exploration.depth} (${end})\n`);
    const { states: _limit, depth: _deepest, ...bound } = options;
    summary.bounds.push({ ...bound, states: exploration.states, depth: exploration.depth, frontier, exhausted });
    if (violation === undefined) return;
    summary.violations += 1;
    process.stderr.write(`${path.map((label) => `  ${label}`).join('\n')}\n  ! ${violation}\n`);
  });
  summary.seconds = Math.round((performance.now() - beganMs) / 100) / 10;
  const { seconds, violations } = summary;
  const end = summary.exhausted ? 'all there are' : 'within the limits';
  if (isJson) process.stdout.write(`${JSON.stringify(summary)}\n`);
  else process.stdout.write(`${summary.states} states to depth ${summary.depth} (${end}), ${violations} violations, ${seconds} s\n`);
  return violations === 0;
}
