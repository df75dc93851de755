/**
 * The element, already validated against schemas/http.json:
 *
 *     <http server="witness.example.org:9600" cluster="site-42" key="/etc/holdfast/witness.key" timeout="3s"/>
 */
import { join } from 'node:path';
import { type ElementValue, HoldfastError } from '@holdfast/sdk';
import { PORT_DEFAULT } from '../protocol.js';

export interface HttpWitnessConfiguration {
  readonly host: string;
  readonly port: number;
  readonly cluster: string;
  readonly keyFile: string;
  readonly timeoutMs: number;
}

const KEY_FILE = 'witness.key';

/** @throws HoldfastError HF_WITNESS_CONFIGURATION when the element was not validated, or its port is none */
export function readConfiguration(element: ElementValue, configurationDirectory: string): HttpWitnessConfiguration {
  const { server, cluster } = element;
  const keyFile = element['key'] ?? join(configurationDirectory, KEY_FILE);
  const timeoutMs = element['timeout'] ?? 3_000;
  const place = typeof server === 'string' ? /^(?:\[([^\]]+)\]|([^:[\]]+))(?::([0-9]{1,5}))?$/.exec(server) : null;
  const host = place?.[1] ?? place?.[2];
  const port = Number(place?.[3] ?? PORT_DEFAULT);
  if (
    host === undefined ||
    typeof cluster !== 'string' ||
    typeof keyFile !== 'string' ||
    typeof timeoutMs !== 'number' ||
    port < 1 ||
    port > 65_535
  ) {
    const message = `element <http> does not have the shape of schemas/http.json: ${JSON.stringify(element)}`;
    throw new HoldfastError('HF_WITNESS_CONFIGURATION', message, { element });
  }
  return { host, port, cluster, keyFile, timeoutMs };
}
