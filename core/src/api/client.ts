/**
 * The API from the other side, with the service's own types: what the command line uses. Every request has a deadline; every failure is a
 * HoldfastError, the agent's own passed on as it was thrown there. Runs on the global fetch, no dependency.
 */
import { HoldfastError, messageOf } from '@holdfast/sdk';
import { configurationClient } from './configuration-client.js';
import type { AgentService, LogEntry } from './contract.js';
import type { ErrorBody, Health } from './schemas.js';
import { readEvents } from './sse-reader.js';

const REQUEST_TIMEOUT_MS = 40_000;

export { PHASE_EXIT_CODE } from '../model/state.js';

export interface ClientOptions {
  /** For example `http://127.0.0.1:9010`. */
  readonly baseUrl: string;
  readonly token: string;
  /** Longer than the proxy's own limits by default, so that its more telling error comes first. */
  readonly timeoutMs?: number;
}

export interface EventsOptions {
  readonly module?: string;
  /** Entries after this sequence come first; only with a module. */
  readonly after?: number;
  readonly signal?: AbortSignal;
  /** Called once the stream is open: every entry written from then on will come. */
  readonly onOpen?: () => void;
}

export interface Client extends Omit<AgentService, 'node' | 'subscribe'> {
  health(): Promise<Health>;
  /** Ends when the signal aborts; throws when the connection breaks. */
  events(options?: EventsOptions): AsyncIterable<LogEntry>;
  /** The same calls on another node of the cluster, through this one. */
  onNode(node: string): Client;
}

export function createClient(options: ClientOptions): Client {
  return new HttpClient(options, '/api/v1');
}

/**
 * Until the signal aborts. The one that was given to fetch is not enough: Node 20 refers to the request weakly, and once that is collected
 * an abort reaches nobody, so that who reads a quiet stream would never end.
 */
async function* chunksOf(body: ReadableStream<Uint8Array>, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const reader = body.getReader();
  const cancel = (): void => void reader.cancel().catch(() => undefined);
  signal.addEventListener('abort', cancel, { once: true });
  if (signal.aborted) cancel();
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value;
  } finally {
    signal.removeEventListener('abort', cancel);
    cancel();
  }
}

class HttpClient implements Client {
  readonly configurations: Client['configurations'] = configurationClient((method, path, body) => this.call(method, path, body));

  constructor(
    private readonly options: ClientOptions,
    private readonly prefix: string,
  ) {}

  onNode(node: string): Client {
    return new HttpClient(this.options, `/api/v1/nodes/${encodeURIComponent(node)}`);
  }

  health(): ReturnType<Client['health']> {
    return this.call('GET', '/health');
  }

  cluster(): ReturnType<Client['cluster']> {
    return this.call('GET', '/cluster');
  }

  modules(): ReturnType<Client['modules']> {
    return this.call('GET', '/modules');
  }

  module(name: string): ReturnType<Client['module']> {
    return this.call('GET', modulePath(name));
  }

  resources(name: string, query: Parameters<Client['resources']>[1] = {}): ReturnType<Client['resources']> {
    const only = query.name === undefined ? '' : `?name=${encodeURIComponent(query.name)}`;
    return this.call('GET', `${modulePath(name)}/resources${only}`);
  }

  virtualAddresses(name: string): ReturnType<Client['virtualAddresses']> {
    return this.call('GET', `${modulePath(name)}/virtual-addresses`);
  }

  log(name: string, query: Parameters<Client['log']>[1]): ReturnType<Client['log']> {
    const parameters = new URLSearchParams();
    if (query.after !== undefined) parameters.set('after', String(query.after));
    if (query.limit !== undefined) parameters.set('limit', String(query.limit));
    if (query.levels !== undefined) parameters.set('levels', query.levels);
    return this.call('GET', `${modulePath(name)}/log?${parameters.toString()}`);
  }

  async command(name: string, ...[verb, options]: Tail<Parameters<Client['command']>>): Promise<void> {
    await this.call<undefined>('POST', `${modulePath(name)}/commands`, { ...options, verb });
  }

  verify(name: string, options: Parameters<Client['verify']>[1]): ReturnType<Client['verify']> {
    return this.call('POST', `${modulePath(name)}/verification`, options);
  }

  async cancelVerification(name: string): Promise<void> {
    await this.call<undefined>('DELETE', `${modulePath(name)}/verification`);
  }

  conflicts(name: string): ReturnType<Client['conflicts']> {
    return this.call('GET', `${modulePath(name)}/conflicts`);
  }

  conflictObjects(...[name, id, query]: Parameters<Client['conflictObjects']>): ReturnType<Client['conflictObjects']> {
    const parameters = new URLSearchParams();
    if (query.after !== undefined) parameters.set('after', String(query.after));
    if (query.limit !== undefined) parameters.set('limit', String(query.limit));
    return this.call('GET', `${conflictPath(name, id)}/objects?${parameters.toString()}`);
  }

  async extractConflict(...[name, id, options]: Parameters<Client['extractConflict']>): Promise<void> {
    await this.call<undefined>('POST', `${conflictPath(name, id)}/extraction`, options);
  }

  async deleteConflict(name: string, id: string): Promise<void> {
    await this.call<undefined>('DELETE', conflictPath(name, id));
  }

  async switchChecks(name: string, options: Parameters<Client['switchChecks']>[1]): Promise<void> {
    await this.call<undefined>('POST', `${modulePath(name)}/checks`, options);
  }

  async setResource(name: string, verdict: Parameters<Client['setResource']>[1]): Promise<void> {
    await this.call<undefined>('POST', `${modulePath(name)}/verdicts`, verdict);
  }

  async note(name: string, note: Parameters<Client['note']>[1]): Promise<void> {
    await this.call<undefined>('POST', `${modulePath(name)}/notes`, note);
  }

  async maintain(name: string, change: Parameters<Client['maintain']>[1]): Promise<void> {
    await this.call<undefined>('POST', `${modulePath(name)}/maintenance`, change);
  }

  loop(name: string, change?: Parameters<Client['loop']>[1]): ReturnType<Client['loop']> {
    return change === undefined ? this.call('GET', `${modulePath(name)}/loop`) : this.call('POST', `${modulePath(name)}/loop`, change);
  }

  install(...[folder, options]: Parameters<Client['install']>): ReturnType<Client['install']> {
    return this.call('POST', '/modules', { ...options, folder });
  }

  async uninstall(name: string): Promise<void> {
    await this.call<undefined>('DELETE', modulePath(name));
  }

  forgetState(name: string): ReturnType<Client['forgetState']> {
    return this.call('POST', `${modulePath(name)}/forget-state`);
  }

  configure(name: string, options: Parameters<Client['configure']>[1]): ReturnType<Client['configure']> {
    return this.call('POST', `${modulePath(name)}/configure`, options);
  }

  async *events(options: EventsOptions = {}): AsyncGenerator<LogEntry> {
    const query = options.module === undefined ? '' : `?module=${encodeURIComponent(options.module)}`;
    const headers: Record<string, string> = { accept: 'text/event-stream' };
    if (options.after !== undefined) headers['last-event-id'] = String(options.after);
    const ending = new AbortController();
    const stop = (): void => {
      ending.abort();
    };
    options.signal?.addEventListener('abort', stop, { once: true });
    if (options.signal?.aborted === true) stop();
    const opening = setTimeout(stop, this.options.timeoutMs ?? REQUEST_TIMEOUT_MS);
    try {
      const response = await this.fetch('GET', `/events${query}`, { headers, signal: ending.signal });
      clearTimeout(opening);
      if (!response.ok || response.body === null) throw await failureOf(response);
      options.onOpen?.();
      for await (const event of readEvents(chunksOf(response.body, ending.signal), stop)) {
        if (event.type === 'log') yield JSON.parse(event.data) as LogEntry;
      }
      ending.signal.throwIfAborted();
      throw new HoldfastError('HF_API_STREAM_ENDED', 'the agent ended the event stream; is it stopping, or was this reader too slow?');
    } catch (error) {
      if (options.signal?.aborted === true) return;
      throw this.explain(error);
    } finally {
      clearTimeout(opening);
      options.signal?.removeEventListener('abort', stop);
      stop();
    }
  }

  private async call<T>(method: string, path: string, body?: unknown): Promise<T> {
    const timeoutMs = this.options.timeoutMs ?? REQUEST_TIMEOUT_MS;
    try {
      const response = await this.fetch(method, path, {
        headers: { accept: 'application/json', ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
        signal: AbortSignal.timeout(timeoutMs),
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      if (!response.ok) throw await failureOf(response);
      const content = await response.text();
      return (content === '' ? undefined : JSON.parse(content)) as T;
    } catch (error) {
      throw this.explain(error);
    }
  }

  private fetch(
    method: string,
    path: string,
    init: { headers: Record<string, string>; signal: AbortSignal; body?: string },
  ): Promise<Response> {
    return fetch(`${this.options.baseUrl}${this.prefix}${path}`, {
      ...init,
      method,
      headers: { ...init.headers, authorization: `Bearer ${this.options.token}` },
      // A redirect would carry the token to another place; the agent never sends one.
      redirect: 'error',
    });
  }

  private explain(error: unknown): HoldfastError {
    if (error instanceof HoldfastError) return error;
    const { baseUrl } = this.options;
    if (error instanceof Error && (error.name === 'TimeoutError' || error.name === 'AbortError')) {
      return new HoldfastError('HF_AGENT_TIMEOUT', `the agent at ${baseUrl} did not answer in time; is the machine overloaded?`, {
        baseUrl,
      });
    }
    if (error instanceof SyntaxError) {
      return new HoldfastError('HF_AGENT_ANSWER_INVALID', `what listens at ${baseUrl} answered something that is not the agent's JSON`, {
        baseUrl,
      });
    }
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : messageOf(cause);
    if (code === 'ECONNREFUSED') {
      return new HoldfastError(
        'HF_AGENT_NOT_RUNNING',
        `no agent answers at ${baseUrl}; start it with "systemctl start holdfast" or, in the foreground, "holdfast agent"`,
        { baseUrl },
      );
    }
    return new HoldfastError('HF_AGENT_UNREACHABLE', `the connection to the agent at ${baseUrl} failed: ${code}; is it stopping?`, {
      baseUrl,
      cause: code,
    });
  }
}

type Tail<T extends readonly unknown[]> = T extends readonly [unknown, ...infer Rest] ? Rest : never;

function modulePath(name: string): string {
  return `/modules/${encodeURIComponent(name)}`;
}

function conflictPath(name: string, id: string): string {
  return `${modulePath(name)}/conflicts/${encodeURIComponent(id)}`;
}

async function failureOf(response: Response): Promise<HoldfastError> {
  const content = await response.text();
  try {
    const body = JSON.parse(content) as Partial<ErrorBody>;
    if (typeof body.code === 'string' && typeof body.message === 'string')
      return new HoldfastError(body.code, body.message, body.details ?? {});
  } catch {
    // Not the agent's JSON: told below.
  }
  return new HoldfastError(
    'HF_AGENT_ANSWER_INVALID',
    `the answer has status ${response.status} and is not the agent's; does something else use its port?`,
    {
      status: response.status,
    },
  );
}
