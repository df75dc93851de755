/**
 * cluster.xml: the nodes and the networks between them. Only IP literals: a failover must not wait for name resolution, and two nodes
 * must not disagree about what a name means.
 */
import { BlockList, SocketAddress, isIP, isIPv6 } from 'node:net';
import type { ClusterConfiguration, ClusterLan } from '../model/configuration.js';
import { configurationDigest } from './digest.js';
import { type ReadElement, readElement } from './element-reader.js';
import type { JsonSchema } from './element-schema.js';
import { ProblemList, quoted } from './problems.js';
import { readXml } from './xml.js';

export const CLUSTER_PORT_DEFAULT = 4800;
/** Words of `defaultprim` that a node must not be called. */
export const RESERVED_NODE_NAMES: readonly string[] = ['alone', 'lastprim'];

const NAME_RULE = 'letters, digits, . _ - and at most 63 characters, starting with a letter or digit';
const NAME = { type: 'string', pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$', description: NAME_RULE } as const;
const MEMBERSHIP = 'nodes find each other by the heartbeats of the modules; remove it';
const CONSOLE = 'the console needs no network of its own; remove it';

const CLUSTER_SCHEMA: JsonSchema = {
  type: 'object',
  properties: {
    lans: {
      type: 'array',
      minItems: 1,
      maxItems: 1,
      items: {
        type: 'object',
        properties: {
          port: { type: 'integer', minimum: 1, maximum: 65535, default: CLUSTER_PORT_DEFAULT },
          pulse: { type: 'integer', 'x-not-supported': MEMBERSHIP },
          mlost_count: { type: 'integer', 'x-not-supported': MEMBERSHIP },
          slost_count: { type: 'integer', 'x-not-supported': MEMBERSHIP },
          lan: {
            type: 'array',
            minItems: 1,
            maxItems: 16,
            items: {
              type: 'object',
              properties: {
                name: NAME,
                command: { type: 'boolean', default: false },
                console: { type: 'boolean', 'x-not-supported': CONSOLE },
                framework: { type: 'boolean', 'x-not-supported': CONSOLE },
                connect: { type: 'boolean', 'x-not-supported': CONSOLE },
                node: {
                  type: 'array',
                  minItems: 1,
                  maxItems: 64,
                  items: {
                    type: 'object',
                    properties: { name: NAME, addr: { type: 'string' }, laddr: { type: 'string' } },
                    required: ['name', 'addr'],
                    additionalProperties: false,
                  },
                },
              },
              required: ['name', 'node'],
              additionalProperties: false,
            },
          },
        },
        required: ['lan'],
        additionalProperties: false,
      },
    },
  },
  required: ['lans'],
  additionalProperties: false,
};

interface ClusterValue {
  readonly lans: readonly [{ readonly port: number; readonly lan: readonly LanValue[] }];
}
interface LanValue {
  readonly name: string;
  readonly command: boolean;
  readonly node: readonly { readonly name: string; readonly addr: string; readonly laddr?: string }[];
}

/** @throws HoldfastError with a code of CONFIG_ERRORS; `details.problems` lists every problem of the file. */
export function parseCluster(xml: string, file: string): ClusterConfiguration {
  const problems = new ProblemList(file);
  const root = readXml(xml, 'cluster', problems);
  const read = readElement(root, CLUSTER_SCHEMA, problems);
  // The relations below are about complete lans and nodes.
  problems.throwIfAny();
  const cluster = read.value as unknown as ClusterValue;
  const [lans] = cluster.lans;
  checkNames(lans.lan, read, problems);
  checkSameNodes(lans.lan, read, problems);
  checkAddresses(lans.lan, read, problems);
  const command = checkCommand(lans.lan, read, problems);
  problems.throwIfAny();
  return {
    lans: lans.lan.map((lan, index) => clusterLan(lan, index === command)),
    port: lans.port,
    digest: configurationDigest(root),
  };
}

function clusterLan(lan: LanValue, command: boolean): ClusterLan {
  const nodes = lan.node.map(({ name, addr, laddr }) => {
    const address = { name, address: bare(addr) };
    return laddr === undefined ? address : { ...address, localAddress: bare(laddr) };
  });
  return { name: lan.name, command, nodes };
}

const lanPointer = (lan: number): string => `/lans/0/lan/${lan}`;
const nodePointer = (lan: number, node: number): string => `${lanPointer(lan)}/node/${node}`;

function checkNames(lans: readonly LanValue[], read: ReadElement, problems: ProblemList): void {
  const lanNames = new Set<string>();
  lans.forEach((lan, lanIndex) => {
    if (lanNames.has(lan.name))
      problems.add('HF_CONFIG_NAME_DUPLICATE', read.at(lanPointer(lanIndex), 'name'), `two lans are named ${quoted(lan.name)}`);
    lanNames.add(lan.name);
    const nodeNames = new Set<string>();
    lan.node.forEach(({ name }, index) => {
      const at = read.at(nodePointer(lanIndex, index), 'name');
      if (nodeNames.has(name))
        problems.add('HF_CONFIG_NAME_DUPLICATE', at, `node ${quoted(name)} is listed twice in lan ${quoted(lan.name)}`);
      if (RESERVED_NODE_NAMES.includes(name)) {
        problems.add('HF_CONFIG_VALUE', at, `a node cannot be called ${quoted(name)}: the word has a meaning in defaultprim`);
      }
      nodeNames.add(name);
    });
  });
}

function checkSameNodes(lans: readonly LanValue[], read: ReadElement, problems: ProblemList): void {
  const [first, ...others] = lans;
  if (first === undefined) return;
  const expected = new Set(first.node.map(({ name }) => name));
  others.forEach((lan, index) => {
    const names = new Set(lan.node.map(({ name }) => name));
    const missing = [...expected].filter((name) => !names.has(name));
    const surplus = [...names].filter((name) => !expected.has(name));
    if (missing.length === 0 && surplus.length === 0) return;
    const parts = [
      ...(missing.length > 0 ? [`lacks ${missing.join(', ')}`] : []),
      ...(surplus.length > 0 ? [`has ${surplus.join(', ')} in addition`] : []),
    ];
    const difference = `lan ${quoted(lan.name)} compared with ${quoted(first.name)} ${parts.join(' and ')}`;
    const message = `every lan must list the same nodes, but ${difference}`;
    problems.add('HF_CONFIG_LAN_NODES', read.at(lanPointer(index + 1)), message);
  });
}

/** Index of the lan that carries commands: the marked one, else the first. */
function checkCommand(lans: readonly LanValue[], read: ReadElement, problems: ProblemList): number {
  const marked = lans.flatMap((lan, index) => (lan.command ? [index] : []));
  for (const index of marked.slice(1)) {
    const [second, first] = [lans[index], lans[marked[0] ?? 0]].map((lan) => quoted(lan?.name ?? ''));
    const message = `lan ${second} has command="on", but lan ${first} has it already`;
    problems.add('HF_CONFIG_LAN_COMMAND', read.at(lanPointer(index), 'command'), message);
  }
  return marked[0] ?? 0;
}

function checkAddresses(lans: readonly LanValue[], read: ReadElement, problems: ProblemList): void {
  const owners = new Map<string, string>();
  lans.forEach((lan, lanIndex) => {
    let family = 0;
    lan.node.forEach((node, index) => {
      const pointer = nodePointer(lanIndex, index);
      const version = checkLiteral(node.addr, 'addr', node.name, pointer, read, problems);
      if (node.laddr !== undefined) checkLiteral(node.laddr, 'laddr', node.name, pointer, read, problems);
      if (version === 0) return;
      const at = read.at(pointer, 'addr');
      const place = `node ${node.name} in lan ${lan.name}`;
      const owner = owners.get(identity(node.addr));
      if (owner !== undefined)
        problems.add('HF_CONFIG_ADDRESS_DUPLICATE', at, `address ${node.addr} of ${place} is already that of ${owner}`);
      else owners.set(identity(node.addr), place);
      if (family !== 0 && family !== version) {
        problems.add(
          'HF_CONFIG_ADDRESS',
          at,
          `address ${node.addr} of ${place} is IPv${version}, but the lan's first node has IPv${family}`,
        );
      }
      family ||= version;
    });
  });
}

const UNUSABLE = new BlockList();
UNUSABLE.addSubnet('0.0.0.0', 8, 'ipv4');
UNUSABLE.addSubnet('224.0.0.0', 3, 'ipv4');
UNUSABLE.addAddress('::', 'ipv6');
UNUSABLE.addSubnet('ff00::', 8, 'ipv6');

/** 4 or 6, or 0 after the problem was reported. */
function checkLiteral(text: string, attribute: string, node: string, pointer: string, read: ReadElement, problems: ProblemList): number {
  const at = read.at(pointer, attribute);
  const address = bare(text);
  const version = isIP(address);
  if (version === 0) {
    const message = `${attribute}=${quoted(text)} of node ${node} is not an IP address; host names are not supported, write the IP`;
    problems.add('HF_CONFIG_ADDRESS', at, message);
    return 0;
  }
  if (UNUSABLE.check(withoutZone(address), version === 6 ? 'ipv6' : 'ipv4')) {
    problems.add('HF_CONFIG_ADDRESS', at, `${attribute}=${quoted(text)} of node ${node} is not the address of one host`);
    return 0;
  }
  return version;
}

/** IPv6 literals may stand in brackets. */
function bare(address: string): string {
  const match = /^\[(.*)\]$/.exec(address);
  return match?.[1] !== undefined && isIPv6(match[1]) ? match[1] : address;
}

function withoutZone(address: string): string {
  return address.split('%')[0] ?? address;
}

/** One spelling per address; link-local addresses are told apart by their zone. */
function identity(address: string): string {
  const [literal = '', zone = ''] = bare(address).split('%');
  const family = isIPv6(literal) ? 'ipv6' : 'ipv4';
  return `${new SocketAddress({ address: literal, family }).address}%${zone}`;
}
