/** What a decision rested on, as sentences: resources that were down, and how often the module had acted by itself. */
import type { LightState } from './types.js';

export function lightEvidence({ settings, durable, resources }: LightState): readonly string[] {
  const down = Object.entries(resources).filter(([, { value }]) => value === 'down');
  const { count } = durable.loop;
  return [
    `${settings.node} had been ${durable.started ? 'started' : 'stopped'}, and had acted by itself ${count} of ${settings.maxLoop} times`,
    ...down.map(([name, { detail, action }]) => `resource ${name} was down (${detail}); its action is ${action}`),
  ];
}
