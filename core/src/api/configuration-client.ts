/** The part of the client that is about configurations. */
import type { ConfigurationService } from './configuration-contract.js';

/** One request: method, path below the module, body. */
export type Call = <T>(method: 'GET' | 'POST' | 'DELETE', path: string, body?: unknown) => Promise<T>;

export function configurationClient(call: Call): ConfigurationService {
  const at = (name: string, rest = ''): string => `/modules/${encodeURIComponent(name)}/configuration${rest}`;
  return {
    view: (name) => call('GET', at(name)),
    difference: (name, options) =>
      call('GET', at(name, `/difference${options.with === undefined ? '' : `?with=${encodeURIComponent(options.with)}`}`)),
    rollback: (name, options) => call('POST', at(name, '/rollback'), options),
    deconfigure: (name) => call('DELETE', at(name)),
    prepare: (name, body) => call('POST', at(name, '/prepare'), body),
    commit: (name, transaction) => call('POST', at(name, '/commit'), { transaction }),
    abort: (name, transaction) => call('POST', at(name, '/abort'), { transaction }),
    outcome: (name, transaction) => call('POST', at(name, '/outcome'), { transaction }),
    files: (name) => call('GET', at(name, '/files')),
  };
}
