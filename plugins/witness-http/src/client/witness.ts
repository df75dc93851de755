/**
 * The nodes' side of the witness server. Questions of every few seconds share a connection; a claim always makes its own, because what the
 * nodes have just lost may have taken the old connection with it, and TCP would notice that too late.
 */
import { Agent } from 'node:https';
import {
  type ArmAnswer,
  type ClaimAnswer,
  HoldfastError,
  type StrongWitness,
  type WitnessClaim,
  WitnessOperations,
  type WitnessRecord,
  checkWitnessClaim,
  checkWitnessRecord,
  witnessRecordOf,
} from '@holdfast/sdk';
import type { HttpWitnessConfiguration } from './configuration.js';
import { type Question, type Reply, StaleConnection, exchange, protocolError } from './exchange.js';
import { readKeyFile } from './key-file.js';

/** Of one module on one node. */
const SOCKETS_MAX = 8;
/** Below the server's, so that the client ends an idle connection first. */
const IDLE_MS = 45_000;

const CODES = new Set(['HF_WITNESS_STATE', 'HF_WITNESS_INVALID']);

export class HttpWitness implements StrongWitness {
  readonly grade = 'strong';
  readonly name: string;
  readonly #configuration: HttpWitnessConfiguration;
  readonly #path: string;
  readonly #operations: WitnessOperations;
  /** No session is kept: a resumed one proves no key, and the server refuses it. */
  readonly #kept = new Agent({ keepAlive: true, maxSockets: SOCKETS_MAX, maxFreeSockets: 1, timeout: IDLE_MS, maxCachedSessions: 0 });
  readonly #fresh = new Agent({ keepAlive: false, maxSockets: SOCKETS_MAX, maxCachedSessions: 0 });

  constructor(module: string, configuration: HttpWitnessConfiguration) {
    const { host, port } = configuration;
    this.#configuration = configuration;
    this.#path = `/v1/records/${encodeURIComponent(module)}`;
    this.name = `http ${host.includes(':') ? `[${host}]` : host}:${port}`;
    this.#operations = new WitnessOperations(this.name);
  }

  async arm(record: WitnessRecord, signal?: AbortSignal): Promise<ArmAnswer> {
    checkWitnessRecord(record);
    const { generation, owner, epoch } = record;
    const body = await this.#ask({ method: 'PUT', path: this.#path, body: { generation, owner, epoch } }, this.#kept, signal);
    const found = witnessRecordOf(body['found']);
    if (body['outcome'] === 'armed') return { outcome: 'armed' };
    if (body['outcome'] === 'refused' && found !== undefined) return { outcome: 'refused', found };
    throw this.#nonsense(body);
  }

  async claim(claim: WitnessClaim, signal?: AbortSignal): Promise<ClaimAnswer> {
    checkWitnessClaim(claim);
    const { from, record } = claim;
    const { generation, owner, epoch } = record;
    const question = { from, record: { generation, owner, epoch } };
    const body = await this.#ask({ method: 'POST', path: `${this.#path}/claim`, body: question }, this.#fresh, signal);
    const found = witnessRecordOf(body['found']);
    if (body['outcome'] === 'granted') return { outcome: 'granted' };
    if (body['outcome'] === 'refused' && body['found'] === undefined) return { outcome: 'refused' };
    if (body['outcome'] === 'refused' && found !== undefined) return { outcome: 'refused', found };
    throw this.#nonsense(body);
  }

  async read(signal?: AbortSignal): Promise<WitnessRecord | undefined> {
    const body = await this.#ask({ method: 'GET', path: this.#path }, this.#kept, signal);
    if (body['record'] === null) return undefined;
    const record = witnessRecordOf(body['record']);
    if (record === undefined) throw this.#nonsense(body);
    return record;
  }

  async close(): Promise<void> {
    this.#operations.close();
    this.#kept.destroy();
    this.#fresh.destroy();
  }

  async #ask(question: Question, agent: Agent, signal: AbortSignal | undefined): Promise<Readonly<Record<string, unknown>>> {
    const { host, port, cluster, keyFile, timeoutMs } = this.#configuration;
    return this.#operations.run(timeoutMs, signal, async (ended) => {
      const destination = { host, port, cluster, key: await readKeyFile(keyFile), agent };
      const reply = await exchange(question, destination, ended).catch((error: unknown) => {
        if (error instanceof StaleConnection) return exchange(question, { ...destination, agent: this.#fresh }, ended);
        throw error;
      });
      return this.#understood(reply);
    });
  }

  #understood({ status, body }: Reply): Readonly<Record<string, unknown>> {
    if (typeof body !== 'object' || body === null) throw this.#nonsense(body);
    const document = body as Readonly<Record<string, unknown>>;
    if (status === 200) return document;
    const { code, message } = (document['error'] ?? {}) as { readonly code?: unknown; readonly message?: unknown };
    if (typeof code !== 'string' || typeof message !== 'string' || !CODES.has(code)) throw this.#nonsense(body);
    throw new HoldfastError(code, `the witness ${this.name} says: ${message.slice(0, 500)}`, { status });
  }

  #nonsense(body: unknown): HoldfastError {
    return protocolError(this.name, JSON.stringify(body).slice(0, 200));
  }
}
