/** What failover rules can name: the classes that somebody serves, the resources of this very configuration, the built-in rules. */
import { labelOf } from '../decide/rules/built-in.js';
import type { ContributedConfiguration, HeartConfiguration } from '../model/configuration.js';
import type { ContributedSchema } from './module-elements.js';

/** What the agent itself finds out. */
const ENGINE_RESOURCES = [
  'state.local',
  'state.remote',
  'heart.stopstartloop',
  'rfs.link',
  'rfs.uptodate',
  'usersetting.boot',
  'usersetting.checker',
  'usersetting.errd',
  'usersetting.failover',
] as const;
/** Classes whose resources are only known when the module runs: virtual addresses. */
const OPEN_CLASSES = ['ip'];
const CLASS_OF_ELEMENT: ReadonlyMap<string, string> = new Map([['errd', 'proc']]);

export interface RuleNames {
  readonly classes: readonly string[];
  readonly resources: readonly string[];
  /** Built-in rules of this configuration's checks. */
  readonly labels: readonly string[];
  readonly has: (of: string, id: string) => boolean;
  /** Resources of one checker's element; absent: named after its ident. */
  readonly resourcesOf?: (contributed: Pick<ContributedConfiguration, 'point' | 'type' | 'value'>) => readonly string[];
}

export function ruleNames(
  contributed: readonly ContributedConfiguration[],
  served: readonly ContributedSchema[],
  heart: HeartConfiguration | undefined,
  resourcesOf: RuleNames['resourcesOf'] = () => [],
): RuleNames {
  const checks = contributed.filter(({ point }) => point === 'checker');
  const checked = checks.flatMap((check) => {
    const named = resourcesOf(check);
    const { ident } = check.value;
    return named.length > 0 || typeof ident !== 'string' ? named : [`${check.element}.${ident}`];
  });
  const witnesses = contributed.filter(({ point }) => point === 'witness');
  const resources = [
    ...ENGINE_RESOURCES,
    ...(heart?.heartbeats ?? []).map(({ ident }) => `heartbeat.${ident}`),
    ...witnesses.map(({ type, value }) => `witness.${typeof value['ident'] === 'string' ? value['ident'] : type}`),
    ...checked,
  ];
  const elements = served.filter(({ point }) => point === 'checker').map(({ element }) => CLASS_OF_ELEMENT.get(element) ?? element);
  const classes = [...resources.map((name) => name.slice(0, name.indexOf('.'))), ...elements, ...OPEN_CLASSES, 'witness'];
  return {
    classes: [...new Set(classes)],
    resources,
    labels: [...new Set(checked.map(labelOf))],
    has: (of, id) =>
      OPEN_CLASSES.includes(of) ||
      (id === '*' || id === '?' ? resources.some((name) => name.startsWith(`${of}.`)) : resources.includes(`${of}.${id}`)),
  };
}
