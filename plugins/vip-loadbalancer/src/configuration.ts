/**
 * The `loadbalancer` element. The schema has checked the shape; what a schema cannot say (a port out of range, a probe on a service port, a
 * certificate without its key) is refused here, with the child and the attribute that are wrong.
 */
import { type ElementValue, HoldfastError } from '@holdfast/sdk';

export interface ProbeSettings {
  readonly protocol: 'http' | 'https' | 'tcp';
  readonly port: number;
  /** Of HTTPS: absolute paths of PEM files. */
  readonly certificate?: { readonly certFile: string; readonly keyFile: string };
}

export interface BalancerSettings {
  /** Addresses of the balancer, IP literals; what clients connect to. May be empty. */
  readonly addresses: readonly string[];
  /** TCP ports of the service. Empty: nothing is refused. */
  readonly ports: readonly number[];
  readonly resetsConnections: boolean;
  readonly probes: readonly ProbeSettings[];
}

export const PROBE_PORT_DEFAULT = 9010;
const PORT_MAX = 65_535;

interface Place {
  readonly pointer: string;
  readonly attribute: string;
}

/** @throws HoldfastError HF_LOADBALANCER_CONFIGURATION; `details.pointer` and `details.attribute` say where */
export function readSettings(configuration: ElementValue): BalancerSettings {
  const ports = readPorts(textOf(configuration['port']));
  const written = childrenOf(configuration, 'probe');
  const probes = written.length === 0 ? [{ protocol: 'http' as const, port: PROBE_PORT_DEFAULT }] : written.map(readProbe);
  for (const [index, { port }] of probes.entries()) {
    const place = { pointer: written.length === 0 ? '' : `/probe/${index}`, attribute: 'port' };
    if (ports.includes(port)) {
      const why = `port ${port} is a service port of the same element: a probe must answer when the service must not; give it another`;
      throw refused(why, place);
    }
    if (probes.findIndex((other) => other.port === port) !== index) throw refused(`two probes have the port ${port}`, place);
  }
  return {
    addresses: childrenOf(configuration, 'virtual_addr').map(({ addr }) => textOf(addr)),
    ports,
    resetsConnections: configuration['tcpreset'] !== false,
    probes,
  };
}

function readPorts(text: string): readonly number[] {
  const place = { pointer: '', attribute: 'port' };
  const ports = text.trim() === '' ? [] : text.split(',').map((word) => Number(word.trim()));
  for (const [index, port] of ports.entries()) {
    if (!Number.isInteger(port) || port < 1 || port > PORT_MAX) throw refused(`port="${text}": a TCP port is 1 to ${PORT_MAX}`, place);
    if (ports.indexOf(port) !== index) throw refused(`port="${text}" names ${port} twice`, place);
  }
  return ports;
}

function readProbe(probe: ElementValue, index: number): ProbeSettings {
  const port = typeof probe['port'] === 'number' ? probe['port'] : PROBE_PORT_DEFAULT;
  const [cert, key] = [textOf(probe['cert']), textOf(probe['key'])];
  const pointer = `/probe/${index}`;
  const protocol = probe['proto'] === 'https' || probe['proto'] === 'tcp' ? probe['proto'] : 'http';
  if (protocol === 'https') {
    if (cert === '' || key === '') {
      const missing = cert === '' ? 'cert' : 'key';
      throw refused(`a probe by https needs cert and key, files with the certificate chain and its private key; ${missing} is missing`, {
        pointer,
        attribute: missing,
      });
    }
    return { protocol, port, certificate: { certFile: cert, keyFile: key } };
  }
  const needless = cert === '' ? (key === '' ? undefined : 'key') : 'cert';
  if (needless !== undefined) {
    throw refused(`${needless} is of a probe by https, and this one is ${protocol}`, { pointer, attribute: needless });
  }
  return { protocol, port };
}

function refused(message: string, place: Place): HoldfastError {
  return new HoldfastError('HF_LOADBALANCER_CONFIGURATION', message, { ...place });
}

function childrenOf(value: ElementValue, name: string): readonly ElementValue[] {
  const found = value[name];
  return typeof found === 'object' ? found : [];
}

function textOf(value: ElementValue[string] | undefined): string {
  return typeof value === 'string' ? value : '';
}
