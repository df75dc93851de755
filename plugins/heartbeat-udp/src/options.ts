/** Checks what `open` is given, relations included, before anything is bound. */
import { isIP } from 'node:net';
import type { HeartbeatLink, HeartbeatOptions } from '@holdfast/sdk';
import { optionsInvalid } from './errors.js';
import { CLUSTER_KEY_BYTES } from './wire/sealing.js';

const PULSE_MS_MIN = 10;
const PULSE_MS_MAX = 60_000;

/** @throws HoldfastError HF_HEARTBEAT_OPTIONS */
export function assertOptions(options: HeartbeatOptions): void {
  const { module, localNode, peerNode, links, key, pulseMs } = options;
  if (module === '' || localNode === '' || peerNode === '') {
    throw optionsInvalid('module, local node and peer node need names', { module, localNode, peerNode });
  }
  if (localNode === peerNode) throw optionsInvalid(`node "${localNode}" cannot be its own peer`, { localNode, peerNode });
  if (key.length !== CLUSTER_KEY_BYTES) {
    throw optionsInvalid(`the cluster key has ${key.length} bytes instead of ${CLUSTER_KEY_BYTES}`, { keyBytes: key.length });
  }
  if (!(pulseMs >= PULSE_MS_MIN && pulseMs <= PULSE_MS_MAX)) {
    throw optionsInvalid(`pulse of ${pulseMs} ms, allowed are ${PULSE_MS_MIN} to ${PULSE_MS_MAX} ms`, { pulseMs });
  }
  if (links.length === 0) throw optionsInvalid(`module "${module}" has no heartbeat link`, { module });
  for (const link of links) assertLink(link);
  const twice = links.find((link, index) => links.findIndex(({ name }) => name === link.name) !== index);
  if (twice !== undefined) throw optionsInvalid(`heartbeat link "${twice.name}" is given twice`, { link: twice.name });
}

function assertLink(link: HeartbeatLink): void {
  const { name, localAddress, peerAddress, port } = link;
  const family = isIP(localAddress);
  if (family === 0 || family !== isIP(peerAddress)) {
    const problem = `heartbeat link "${name}": "${localAddress}" and "${peerAddress}" must be IP addresses of one family, not names`;
    throw optionsInvalid(problem, { link: name, localAddress, peerAddress });
  }
  for (const address of [localAddress, peerAddress]) {
    if (/^fe[89ab]/i.test(address) && !address.includes('%')) {
      const problem = `heartbeat link "${name}": link-local address "${address}" needs its interface, as in "${address}%eth0"`;
      throw optionsInvalid(problem, { link: name, address });
    }
  }
  if (!Number.isInteger(port) || port < 1 || port > 65535) {
    throw optionsInvalid(`heartbeat link "${name}": port ${port} is not between 1 and 65535`, { link: name, port });
  }
}
