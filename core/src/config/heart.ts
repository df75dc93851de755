/**
 * <heart> to its configuration, and the relations that no schema can state: the networks exist, the timeout is several pulses long, the
 * port is free.
 */
import type { ClusterConfiguration, HeartConfiguration, HeartbeatConfiguration } from '../model/configuration.js';
import { HEART_SCHEMA, PULSES_PER_TIMEOUT_MIN } from './core-elements.js';
import { type ReadElement, readElement } from './element-reader.js';
import { formatDuration } from './duration.js';
import { suggestion } from './nearest.js';
import { type ProblemList, quoted } from './problems.js';
import type { XmlElement } from './xml.js';

const HEART_PORT_BASE = 8888;
/** The heartbeat with this ident carries the replication. */
const FLOW_IDENT = 'flow';

interface HeartValue {
  readonly port?: number;
  readonly pulse: number;
  readonly timeout: number;
  readonly heartbeat: readonly { readonly name: string; readonly ident?: string }[];
}

/** undefined when there were problems, which are in `problems`. */
export function readHeart(
  element: XmlElement,
  moduleId: number,
  cluster: ClusterConfiguration,
  problems: ProblemList,
): HeartConfiguration | undefined {
  const before = problems.count;
  const read = readElement(element, HEART_SCHEMA, problems);
  if (!read.valid) return undefined;
  const heart = read.value as unknown as HeartValue;
  const port = heart.port ?? HEART_PORT_BASE + moduleId - 1;
  if (heart.pulse * PULSES_PER_TIMEOUT_MIN > heart.timeout) {
    const [pulse, timeout] = [formatDuration(heart.pulse, 'ms'), formatDuration(heart.timeout, 'ms')];
    const least = formatDuration(heart.pulse * PULSES_PER_TIMEOUT_MIN, 'ms');
    const written = `timeout ${timeout} is less than ${PULSES_PER_TIMEOUT_MIN} pulses of ${pulse}`;
    const at = read.at('', element.attributes.has('timeout') ? 'timeout' : 'pulse');
    problems.add(
      'HF_CONFIG_HEART_TIMING',
      at,
      `${written}: a few lost datagrams would look like a lost node; set timeout to at least ${least}`,
    );
  }
  if (port === cluster.port) {
    problems.add('HF_CONFIG_PORT_CONFLICT', read.at('', 'port'), `heartbeat port ${port} is the port of the cluster; choose another`);
  }
  const heartbeats = readHeartbeats(heart, read, cluster, problems);
  return problems.count === before ? { port, pulseMs: heart.pulse, timeoutMs: heart.timeout, heartbeats } : undefined;
}

function readHeartbeats(
  heart: HeartValue,
  read: ReadElement,
  cluster: ClusterConfiguration,
  problems: ProblemList,
): HeartbeatConfiguration[] {
  const known = cluster.lans.map(({ name }) => name);
  const lans = new Set<string>();
  const idents = new Set<string>();
  heart.heartbeat.forEach(({ name, ident = name }, index) => {
    const pointer = `/heartbeat/${index}`;
    if (!known.includes(name)) {
      const message = `heartbeat on lan ${quoted(name)}, which cluster.xml does not have${suggestion(name, known)}`;
      problems.add('HF_CONFIG_LAN_UNKNOWN', read.at(pointer, 'name'), message);
    }
    if (lans.has(name)) problems.add('HF_CONFIG_NAME_DUPLICATE', read.at(pointer, 'name'), `lan ${quoted(name)} has a heartbeat already`);
    if (idents.has(ident))
      problems.add('HF_CONFIG_NAME_DUPLICATE', read.at(pointer, 'ident'), `ident ${quoted(ident)} is used by another heartbeat`);
    lans.add(name);
    idents.add(ident);
  });
  const flow = heart.heartbeat.findIndex(({ name, ident = name }) => ident === FLOW_IDENT);
  const carrier = Math.max(flow, 0);
  return heart.heartbeat.map(({ name, ident = name }, index) => ({ lan: name, ident, flow: index === carrier }));
}
