/**
 * The etcd cluster behind its members: a question goes to the member that answered last, then to the others, within one limit. A
 * question may therefore be carried out twice, by two members; every question of ours may.
 */
import { HoldfastError } from '@holdfast/sdk';
import type { EtcdConfiguration } from './configuration.js';
import { type Connections, type Reply, call, notEtcd } from './exchange.js';
import { readCredential } from './files.js';

/** Said by a member that cannot know at the moment; another one may. */
const TRY_ANOTHER =
  /no leader|leader changed|request timed out|not available|unavailable|stopped|too many requests|connection|not started/i;
/** A token has expired, belongs to a server that was restarted, or is older than a change of rights. */
const LOGIN_AGAIN = /invalid auth token|user name is empty|auth store is old/i;
const REFUSED = /permission denied|authentication failed|user name is empty|invalid auth token|common name/i;

type Document = Readonly<Record<string, unknown>>;

export class Gateway {
  /** Index of the member that answered last. */
  #preferred = 0;
  #token: string | undefined;

  constructor(private readonly configuration: EtcdConfiguration) {}

  /**
   * @param connections of one question: fresh ones for what must not meet a connection that died unseen
   * @throws HoldfastError of the last member tried, as the contract of witnesses says
   */
  async ask(method: string, body: unknown, connections: Connections, signal: AbortSignal, deadlineMs: number): Promise<Document> {
    const { endpoints, tls } = this.configuration;
    const [ca, cert, key] = await Promise.all([
      tls.ca === undefined ? undefined : readCredential(tls.ca, 'public'),
      tls.cert === undefined ? undefined : readCredential(tls.cert, 'public'),
      tls.key === undefined ? undefined : readCredential(tls.key, 'secret'),
    ]);
    const credentials = {
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
    };
    let problem: HoldfastError | undefined;
    for (let tried = 0; tried < endpoints.length; tried += 1) {
      const index = (this.#preferred + tried) % endpoints.length;
      const endpoint = endpoints[index];
      if (endpoint === undefined) break;
      const shareMs = Math.max(1, (deadlineMs - performance.now()) / (endpoints.length - tried));
      const limited = limitedSignal(signal, shareMs, endpoint);
      try {
        const answer = await this.#askMember({ endpoint, method, body, credentials, connections }, limited.signal);
        this.#preferred = index;
        return answer;
      } catch (error) {
        if (!(error instanceof HoldfastError) || signal.aborted || error.details['final'] === true) throw error;
        problem = error;
      } finally {
        limited.clear();
      }
    }
    throw problem ?? new HoldfastError('HF_WITNESS_UNREACHABLE', 'etcd has no members in the configuration');
  }

  async #askMember(question: Omit<Parameters<typeof call>[0], 'token'>, signal: AbortSignal): Promise<Document> {
    const { login } = this.configuration;
    if (login !== undefined) this.#token ??= await this.#logIn(question, signal);
    let reply = await call(this.#withToken(question), signal);
    if (login !== undefined && reply.status !== 200 && LOGIN_AGAIN.test(messageIn(reply))) {
      this.#token = await this.#logIn(question, signal);
      reply = await call(this.#withToken(question), signal);
    }
    if (reply.status === 200) return reply.body;
    throw refusal(question.endpoint, reply);
  }

  #withToken(question: Omit<Parameters<typeof call>[0], 'token'>): Parameters<typeof call>[0] {
    return this.#token === undefined || this.#token === '' ? question : { ...question, token: this.#token };
  }

  /** @returns an empty token when etcd wants none */
  async #logIn(question: Omit<Parameters<typeof call>[0], 'token'>, signal: AbortSignal): Promise<string> {
    const { login } = this.configuration;
    if (login === undefined) return '';
    const password = (await readCredential(login.passwordFile, 'secret')).replace(/\r?\n$/, '');
    const reply = await call({ ...question, method: 'auth/authenticate', body: { name: login.user, password } }, signal);
    const { token } = reply.body;
    if (reply.status === 200 && typeof token === 'string') return token;
    if (/authentication is not enabled/i.test(messageIn(reply))) return '';
    throw refusal(question.endpoint, reply);
  }
}

function messageIn({ body }: Reply): string {
  const text = body['message'] ?? body['error'];
  return typeof text === 'string' ? text : '';
}

function refusal(endpoint: URL, reply: Reply): HoldfastError {
  const text = messageIn(reply).slice(0, 300);
  if (text === '') return notEtcd(endpoint, `it answers ${reply.status}`);
  const where = endpoint.origin;
  if (REFUSED.test(text)) {
    return new HoldfastError('HF_WITNESS_AUTHENTICATION', `etcd ${where} refuses: ${text}; see user and passwordfile of <etcd>`, {
      where,
      final: true,
    });
  }
  return new HoldfastError('HF_WITNESS_STATE', `etcd ${where} cannot answer: ${text}`, { where, final: !TRY_ANOTHER.test(text) });
}

/** The signal of the whole question, and a share of its time for one member. */
function limitedSignal(whole: AbortSignal, shareMs: number, endpoint: URL): { readonly signal: AbortSignal; clear(): void } {
  const share = new AbortController();
  const late = new HoldfastError('HF_WITNESS_UNREACHABLE', `no answer from etcd ${endpoint.origin} within ${Math.round(shareMs)} ms`);
  const timer = setTimeout(() => share.abort(late), shareMs);
  const onAbort = (): void => share.abort(whole.reason);
  whole.addEventListener('abort', onAbort, { once: true });
  if (whole.aborted) onAbort();
  return {
    signal: share.signal,
    clear: () => {
      clearTimeout(timer);
      whole.removeEventListener('abort', onAbort);
    },
  };
}
