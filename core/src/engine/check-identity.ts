/**
 * Whether a check of a new configuration is the one that runs already. An element with a list of things, one check for each, is compared
 * thing by thing, so that one more process to watch does not restart the watching of the others. A check that runs a file of bin/ is
 * another one when that file has changed.
 */
import type { Check } from '@holdfast/sdk';
import type { ConfigurationValue, ContributedConfiguration } from '../model/configuration.js';

/** One text for each check, in their order; equal texts mean the same check. */
export function checkIdentities(
  { type, element, value }: Pick<ContributedConfiguration, 'type' | 'element' | 'value'>,
  checks: readonly Check[],
  scripts: Readonly<Record<string, string>>,
): readonly string[] {
  const lists = Object.entries(value).filter(([, content]) => Array.isArray(content));
  const [list] = lists;
  return checks.map((check, position) => {
    const things = list?.[1] as readonly ConfigurationValue[] | undefined;
    const own = lists.length === 1 && list !== undefined && things?.length === checks.length;
    const part = own ? { ...value, [list[0]]: [things[position] ?? {}] } : value;
    const files = textsOf(part).flatMap((text) => (Object.hasOwn(scripts, text) ? [scripts[text]] : []));
    return JSON.stringify([type, element, check.resource, part, files]);
  });
}

function textsOf(value: ConfigurationValue): readonly string[] {
  return Object.values(value).flatMap((content) => {
    if (typeof content === 'string') return [content, content.split('/').at(-1) ?? content];
    return Array.isArray(content) ? (content as readonly ConfigurationValue[]).flatMap(textsOf) : [];
  });
}
