/**
 * What belongs to which architecture: a mirror has two nodes with heartbeats and replication, a farm has <farm>, a light module knows no
 * other node. What does not belong is refused with what to do instead, because nothing of it would happen.
 */
import type { ConfigurationValue, ContributedConfiguration, ContributedPoint, ServiceConfiguration } from '../model/configuration.js';
import { type ProblemList, quoted } from './problems.js';
import type { XmlElement } from './xml.js';

type Mode = ServiceConfiguration['mode'];

const STRANGERS: Readonly<Record<Mode, Readonly<Partial<Record<string, string>>>>> = {
  mirror: { farm: 'a mirror module has heartbeats between its two nodes: use <heart>, or mode="farm"' },
  farm: {
    failover: 'rules over resources are those of a mirror; remove it, each check has its action',
    heart: 'the nodes of a farm module hear each other by <farm>: move its networks there',
    witness: 'a farm module needs no witness: every part of a cut network serves, and the parts become one again; remove it',
  },
  light: {
    failover: 'rules over resources are those of a mirror; remove it, each check has its action',
    heart: 'a light module runs on one node and knows no other; remove it, or use mode="mirror"',
    farm: 'a light module runs on one node and knows no other; remove it, or use mode="farm"',
    witness: 'a light module runs on one node and knows no other; remove it',
    vip: 'a light module stays on its node: its clients use the address of the node; remove it',
  },
};

const REPLICATION: Readonly<Partial<Record<Mode, string>>> = {
  farm: 'every node of a farm module has data of its own, and nothing is replicated; remove it, or use mode="mirror"',
  light: 'a light module runs on one node: there is nothing to replicate to; remove it, or use mode="mirror"',
};

const ADDRESS =
  'it moves an address between the nodes of a mirror, and no installed driver shares one among the nodes of a farm; remove <vip>';

/** Roles that only a mirror has. */
const ROLES: readonly unknown[] = ['prim', 'second', 'sec'];

export function checkArchitecture(
  mode: Mode,
  service: XmlElement,
  own: ReadonlyMap<string, XmlElement>,
  contributed: readonly ContributedConfiguration[],
  problems: ProblemList,
): void {
  for (const [name, why] of Object.entries(STRANGERS[mode])) {
    const element = own.get(name);
    if (element !== undefined) problems.add('HF_CONFIG_ARCHITECTURE', element, `<${name}> in a ${mode} module: ${why ?? ''}`);
  }
  if (mode === 'mirror') return;
  const ofPoint = (point: ContributedPoint): readonly ContributedConfiguration[] => contributed.filter((found) => found.point === point);
  for (const found of ofPoint('replicationBackend')) {
    problems.add('HF_CONFIG_ARCHITECTURE', found, `<${found.element}> in a ${mode} module: ${REPLICATION[mode] ?? ''}`);
  }
  if (mode === 'farm') {
    for (const found of ofPoint('virtualIpDriver'))
      problems.add('HF_CONFIG_ARCHITECTURE', found, `<${found.element}> in a farm: ${ADDRESS}`);
  }
  for (const found of ofPoint('checker')) checkRoles(mode, found, problems);
  for (const name of ['failover', 'defaultprim']) {
    const attribute = service.attributes.get(name);
    if (attribute !== undefined) problems.warn(attribute, `${name} has no effect: a ${mode} module has no primary`);
  }
}

function checkRoles(mode: Mode, found: ContributedConfiguration, problems: ProblemList): void {
  const role = roleIn(found.value);
  if (role === undefined) return;
  const message = `<${found.element}> watches in the role ${quoted(role)}, which a ${mode} module never has: write "both" instead`;
  problems.add('HF_CONFIG_ARCHITECTURE', found, message);
}

function roleIn(value: ConfigurationValue): string | undefined {
  const role = [value['when'], value['class']].find((word) => ROLES.includes(word));
  if (typeof role === 'string') return role;
  const children = Object.values(value).filter((child): child is readonly ConfigurationValue[] => Array.isArray(child));
  return children
    .flat()
    .map((child) => roleIn(child))
    .find((found) => found !== undefined);
}
