/**
 * The element, already validated against schemas/etcd.json:
 *
 *     <etcd endpoints="https://192.0.2.1:2379 https://192.0.2.2:2379" ca="/etc/holdfast/etcd-ca.pem"
 *           user="holdfast" passwordfile="/etc/holdfast/etcd.password"/>
 */
import { type ElementValue, HoldfastError } from '@holdfast/sdk';

export interface EtcdConfiguration {
  /** In the order in which they are tried; at least one. */
  readonly endpoints: readonly URL[];
  /** Key of the record. */
  readonly key: string;
  readonly timeoutMs: number;
  readonly tls: { readonly ca?: string; readonly cert?: string; readonly key?: string };
  readonly login?: { readonly user: string; readonly passwordFile: string };
}

/** @throws HoldfastError HF_WITNESS_CONFIGURATION when the element was not validated */
export function readConfiguration(element: ElementValue, cluster: string, module: string): EtcdConfiguration {
  const text = (name: string): string | undefined => {
    const value = element[name];
    if (value === undefined || typeof value === 'string') return value;
    throw invalid(element);
  };
  const endpoints = (text('endpoints') ?? '').split(/\s+/).filter((each) => each !== '');
  if (endpoints.length === 0 || !endpoints.every((each) => URL.canParse(each))) throw invalid(element);
  const timeoutMs = element['timeout'] ?? 3_000;
  if (typeof timeoutMs !== 'number') throw invalid(element);
  const [ca, cert, key, user, passwordFile] = ['ca', 'cert', 'key', 'user', 'passwordfile'].map(text);
  return {
    endpoints: endpoints.map((each) => new URL(each)),
    key: [text('prefix') ?? '/holdfast', encodeURIComponent(text('cluster') ?? cluster), encodeURIComponent(module)].join('/'),
    timeoutMs,
    tls: { ...(ca === undefined ? {} : { ca }), ...(cert === undefined ? {} : { cert }), ...(key === undefined ? {} : { key }) },
    ...(user === undefined || passwordFile === undefined ? {} : { login: { user, passwordFile } }),
  };
}

function invalid(element: ElementValue): HoldfastError {
  const message = `element <etcd> does not have the shape of schemas/etcd.json: ${JSON.stringify(element)}`;
  return new HoldfastError('HF_WITNESS_CONFIGURATION', message, { element });
}
