/** `incloop`, `resetloop`, `checkloop`: the count of automatic actions, for scripts that take such actions themselves. */
import type { LoopChange, LoopView } from '../api/contract.js';
import type { LightRuntime } from './light-runtime.js';
import type { ModuleRuntime } from './module-runtime.js';

/** An increment at the limit changes nothing, and says so: whoever asked is to stop the module instead of acting once more. */
export function changeLoop(runtime: ModuleRuntime | LightRuntime, change: LoopChange | undefined): LoopView {
  const { settings, durable, queue, wallMs } = runtime.snapshot;
  const { maxLoop: max, loopIntervalMs } = settings;
  if (change?.change === 'reset') {
    runtime.command({ verb: 'resetloop' });
    return { count: 0, max, reached: max === 0 && loopIntervalMs > 0 };
  }
  const isOver = wallMs - durable.loop.sinceWallMs > loopIntervalMs || wallMs < durable.loop.sinceWallMs;
  // Those that wait for a transition to end count already.
  const waiting = queue.filter(({ verb }) => verb === 'incloop').length;
  const count = (isOver ? 0 : durable.loop.count) + waiting;
  const reached = loopIntervalMs > 0 && count >= max;
  if (change === undefined || reached) return { count, max, reached };
  runtime.command({ verb: 'incloop', identity: change.identity ?? 'script' });
  return { count: count + 1, max, reached: false };
}
