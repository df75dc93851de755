/** What follows from a checker's verdict. Level-triggered: a resource that is still down after a restart counts again. */
import { reason } from '../../model/reason.js';
import type { Draft } from './draft.js';
import { beginAutomatic } from './loop-counter.js';

const SEVERITY = { noaction: 0, restart: 1, stopstart: 2, wait: 3, stop: 4 } as const;
const WAIT_AGAIN_MS = 10_000;

/** Acts on the gravest resource that is down. Returns true when a sequence began. */
export function decideResources(draft: Draft): boolean {
  const down = Object.entries(draft.state.resources)
    .filter(([, resource]) => resource.value === 'down' && resource.action !== 'noaction')
    .sort(([, a], [, b]) => SEVERITY[b.action] - SEVERITY[a.action])[0];
  if (down === undefined) return false;
  const [name, { action, detail }] = down;
  if (action === 'noaction') return false;
  // The verdict is used up: only a new one, after the action, counts again.
  const resources = { ...draft.state.resources, [name]: { ...down[1], value: 'unknown' as const } };
  draft.state = { ...draft.state, resources };
  beginAutomatic(draft, action, reason('resourceDown', { resource: name, detail, action }), action === 'wait' ? WAIT_AGAIN_MS : 0);
  return true;
}
