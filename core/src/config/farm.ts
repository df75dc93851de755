/**
 * <farm> to its configuration: the networks over which the nodes hear each other, what is shared among them and how, and the ports. Every
 * pair of nodes has a port of its own; because a port is taken once per node, as few are used as colour the edges of a complete graph.
 */
import type { ClusterConfiguration, FarmConfiguration } from '../model/configuration.js';
import { FARM_NODES_MAX } from '../model/farm.js';
import { FARM_GROUP_DEFAULT, FARM_SCHEMA } from './core-elements.js';
import { type ReadElement, readElement } from './element-reader.js';
import { suggestion } from './nearest.js';
import { type ProblemList, quoted } from './problems.js';
import type { XmlElement } from './xml.js';

const FARM_PORT_BASE = 4803;
/** Enough for four nodes; more nodes need more, and all modules must agree where theirs begin. */
const PORTS_PER_MODULE_MIN = 3;

interface FarmValue {
  readonly port?: number;
  readonly pulse: number;
  readonly mlost_count: number;
  readonly slost_count: number;
  readonly lan: readonly { readonly name: string }[];
  readonly group?: readonly { readonly name: string; readonly host?: readonly { readonly name: string; readonly power: number }[] }[];
}

/** undefined when there were problems, which are in `problems`. */
export function readFarm(
  element: XmlElement,
  moduleId: number,
  cluster: ClusterConfiguration,
  problems: ProblemList,
): FarmConfiguration | undefined {
  const before = problems.count;
  const read = readElement(element, FARM_SCHEMA, problems);
  if (!read.valid) return undefined;
  const farm = read.value as unknown as FarmValue;
  const nodes = cluster.lans[0]?.nodes.map(({ name }) => name) ?? [];
  checkNodes(nodes, element, problems);
  checkLans(farm, read, cluster, problems);
  if (farm.mlost_count < farm.slost_count) {
    const message = `mlost_count ${farm.mlost_count} is less than slost_count ${farm.slost_count}: the leader must not be given up first`;
    problems.add('HF_CONFIG_HEART_TIMING', read.at('', 'mlost_count'), message);
  }
  const ports = portsOf(farm.port, moduleId, nodes.length);
  const [last = 0] = ports.slice(-1);
  if (ports.includes(cluster.port) || last > 65_535) {
    const range = `${ports[0] ?? 0} to ${last}`;
    const why = last > 65_535 ? 'beyond the last port' : `which has the port of the cluster, ${cluster.port}`;
    problems.add('HF_CONFIG_PORT_CONFLICT', read.at('', 'port'), `the farm uses the ports ${range}, ${why}; choose another`);
  }
  const groups = readGroups(farm, read, nodes, problems);
  if (problems.count > before) return undefined;
  return {
    ports,
    pulseMs: farm.pulse,
    leaderTimeoutMs: farm.pulse * farm.mlost_count,
    memberTimeoutMs: farm.pulse * farm.slost_count,
    lans: farm.lan.map(({ name }) => name),
    groups,
  };
}

function checkNodes(nodes: readonly string[], element: XmlElement, problems: ProblemList): void {
  if (nodes.length >= 2 && nodes.length <= FARM_NODES_MAX) return;
  const message = `a farm module runs on 2 to ${FARM_NODES_MAX} nodes, but cluster.xml has ${nodes.length}`;
  problems.add('HF_CONFIG_FARM_NODES', element, message);
}

function checkLans(farm: FarmValue, read: ReadElement, cluster: ClusterConfiguration, problems: ProblemList): void {
  const known = cluster.lans.map(({ name }) => name);
  farm.lan.forEach(({ name }, index) => {
    const at = read.at(`/lan/${index}`, 'name');
    if (!known.includes(name)) {
      problems.add('HF_CONFIG_LAN_UNKNOWN', at, `farm on lan ${quoted(name)}, which cluster.xml does not have${suggestion(name, known)}`);
    }
    if (farm.lan.findIndex((other) => other.name === name) < index) {
      problems.add('HF_CONFIG_NAME_DUPLICATE', at, `lan ${quoted(name)} is given twice`);
    }
  });
}

function portsOf(first: number | undefined, moduleId: number, nodes: number): readonly number[] {
  const colours = coloursOf(nodes);
  const from = first ?? FARM_PORT_BASE + (moduleId - 1) * Math.max(PORTS_PER_MODULE_MIN, colours);
  return Array.from({ length: colours }, (_none, index) => from + index);
}

function coloursOf(nodes: number): number {
  return nodes % 2 === 0 ? Math.max(1, nodes - 1) : nodes;
}

function readGroups(
  { group: groups = [] }: FarmValue,
  read: ReadElement,
  nodes: readonly string[],
  problems: ProblemList,
): FarmConfiguration['groups'] {
  if (groups.length === 0) return [{ name: FARM_GROUP_DEFAULT, powers: {} }];
  return groups.map(({ name, host: hosts = [] }, index) => {
    if (groups.findIndex((other) => other.name === name) < index) {
      problems.add('HF_CONFIG_NAME_DUPLICATE', read.at(`/group/${index}`, 'name'), `two groups are named ${quoted(name)}`);
    }
    hosts.forEach((host, position) => {
      const at = read.at(`/group/${index}/host/${position}`, 'name');
      if (!nodes.includes(host.name)) {
        const message = `group ${quoted(name)} names the node ${quoted(host.name)}, which cluster.xml does not have`;
        problems.add('HF_CONFIG_NODE_UNKNOWN', at, `${message}${suggestion(host.name, nodes)}`);
      }
      if (hosts.findIndex((other) => other.name === host.name) < position) {
        problems.add('HF_CONFIG_NAME_DUPLICATE', at, `group ${quoted(name)} has node ${quoted(host.name)} twice`);
      }
    });
    const powers = Object.fromEntries(hosts.map((host) => [host.name, host.power]));
    if (nodes.length > 0 && nodes.every((node) => powers[node] === 0)) {
      problems.add('HF_CONFIG_CONSTRAINT', read.at(`/group/${index}`), `in group ${quoted(name)} no node has power: nobody would serve it`);
    }
    return { name, powers };
  });
}
