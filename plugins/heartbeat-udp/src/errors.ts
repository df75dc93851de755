/** The coded errors of this plug-in, in one place. Each message has the offending value and the likely cause. */
import { HEARTBEAT_PAYLOAD_BYTES_MAX, type HeartbeatLink, HoldfastError } from '@holdfast/sdk';

/** Plain values: an error crosses the channel between the agent and the sending process. */
export interface CodedFailure {
  readonly code: string;
  readonly message: string;
  readonly details: Readonly<Record<string, unknown>>;
}

export function errorOf(failure: CodedFailure): HoldfastError {
  return new HoldfastError(failure.code, failure.message, failure.details);
}

export function bindFailure(link: HeartbeatLink, errno: string): CodedFailure {
  const where = `heartbeat link "${link.name}": ${link.localAddress} port ${link.port}`;
  const details = { link: link.name, address: link.localAddress, port: link.port, errno };
  switch (errno) {
    case 'EADDRNOTAVAIL':
      return {
        code: 'HF_HEARTBEAT_ADDRESS_ABSENT',
        message: `${where}: this node does not have the address; is the interface up, and is the address in cluster.xml right?`,
        details,
      };
    case 'EADDRINUSE':
      return {
        code: 'HF_HEARTBEAT_PORT_TAKEN',
        message: `${where}: the port is taken; does another module or program use it, or does a former agent still run?`,
        details,
      };
    default:
      return { code: 'HF_HEARTBEAT_BIND', message: `${where}: cannot bind (${errno})`, details };
  }
}

export function linksFailed(failures: readonly CodedFailure[]): CodedFailure {
  return {
    code: 'HF_HEARTBEAT_LINKS_FAILED',
    message: `no heartbeat link has a usable socket any more: ${failures.map(({ message }) => message).join('; ')}`,
    details: { failures },
  };
}

export function optionsInvalid(problem: string, details: Readonly<Record<string, unknown>>): HoldfastError {
  return new HoldfastError('HF_HEARTBEAT_OPTIONS', problem, details);
}

export function payloadTooLarge(bytes: number): HoldfastError {
  const message = `payload of ${bytes} bytes, at most ${HEARTBEAT_PAYLOAD_BYTES_MAX} fit into a heartbeat`;
  return new HoldfastError('HF_HEARTBEAT_PAYLOAD', message, { bytes, bytesMax: HEARTBEAT_PAYLOAD_BYTES_MAX });
}

export function notStarted(): HoldfastError {
  return new HoldfastError('HF_HEARTBEAT_NOT_STARTED', 'plug-in heartbeat-udp is not started: open a session between start and stop');
}

export function processGone(how: string, lastWords: string): HoldfastError {
  const told = lastWords === '' ? '' : `; it said: ${lastWords}`;
  return new HoldfastError('HF_HEARTBEAT_PROCESS_GONE', `the heartbeat process is gone (${how})${told}`, { how, lastWords });
}

export function processStalled(silentMs: number): HoldfastError {
  const message = `the heartbeat process gave no sign for ${silentMs} ms and was killed; was it stopped or starved?`;
  return new HoldfastError('HF_HEARTBEAT_PROCESS_STALLED', message, { silentMs });
}

export function processMute(task: string, waitedMs: number): HoldfastError {
  const message = `the heartbeat process did not ${task} within ${waitedMs} ms and was killed`;
  return new HoldfastError('HF_HEARTBEAT_PROCESS_MUTE', message, { task, waitedMs });
}
