/**
 * The record of one module as one key of etcd. Reading is linearizable, changing is a transaction that compares the key's revision: when
 * somebody else was faster, what he wrote comes back, and the question is judged anew. An answer that got lost on the way, or two members
 * that carry out the same question, change nothing: the second time the record is found as it should be.
 */
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
  judgeArm,
  judgeClaim,
  sameWitnessRecord,
  witnessRecordOf,
} from '@holdfast/sdk';
import type { EtcdConfiguration } from './configuration.js';
import { Connections } from './exchange.js';
import { Gateway } from './gateway.js';

interface Found {
  readonly record?: WitnessRecord;
  /** Of the key; '0' when there is none. */
  readonly revision: string;
}

/** Ways to say yes; everything else leaves the record alone. */
type Judgement<T> = { readonly answer: T; readonly becomes?: WitnessRecord };

interface Trip {
  readonly connections: Connections;
  readonly signal: AbortSignal;
  readonly deadlineMs: number;
}

export class EtcdWitness implements StrongWitness {
  readonly grade = 'strong';
  readonly name: string;
  readonly #configuration: EtcdConfiguration;
  readonly #gateway: Gateway;
  readonly #key: string;
  readonly #operations: WitnessOperations;
  readonly #kept = new Connections(true);
  /** For claims: what the nodes have just lost may have taken the old connection with it. */
  readonly #fresh = new Connections(false);

  constructor(configuration: EtcdConfiguration) {
    this.#configuration = configuration;
    this.#gateway = new Gateway(configuration);
    this.#key = base64(configuration.key);
    this.name = `etcd ${configuration.endpoints.map(({ host }) => host).join(', ')}`;
    this.#operations = new WitnessOperations(this.name);
  }

  async arm(record: WitnessRecord, signal?: AbortSignal): Promise<ArmAnswer> {
    checkWitnessRecord(record);
    return this.#within(signal, this.#kept, (trip) =>
      this.#change<ArmAnswer>(trip, (found) => {
        const answer = judgeArm(found, record);
        return answer.outcome === 'armed' ? { answer, becomes: record } : { answer };
      }),
    );
  }

  async claim(claim: WitnessClaim, signal?: AbortSignal): Promise<ClaimAnswer> {
    checkWitnessClaim(claim);
    return this.#within(signal, this.#fresh, (trip) =>
      this.#change<ClaimAnswer>(trip, (found) => {
        const answer = judgeClaim(found, claim);
        return answer.outcome === 'granted' ? { answer, becomes: claim.record } : { answer };
      }),
    );
  }

  async read(signal?: AbortSignal): Promise<WitnessRecord | undefined> {
    return this.#within(signal, this.#kept, async (trip) => (await this.#look(trip)).record);
  }

  async close(): Promise<void> {
    this.#operations.close();
    this.#kept.destroy();
    this.#fresh.destroy();
  }

  async #look(trip: Trip): Promise<Found> {
    return this.#found(await this.#ask('kv/range', { key: this.#key }, trip));
  }

  async #change<T>(trip: Trip, judge: (found: WitnessRecord | undefined) => Judgement<T>): Promise<T> {
    for (let found = await this.#look(trip); ; ) {
      const { answer, becomes } = judge(found.record);
      if (becomes === undefined || sameWitnessRecord(found.record, becomes)) return answer;
      const { generation, owner, epoch } = becomes;
      const body = await this.#ask(
        'kv/txn',
        {
          compare: [{ key: this.#key, target: 'MOD', result: 'EQUAL', mod_revision: found.revision }],
          success: [{ request_put: { key: this.#key, value: base64(JSON.stringify({ generation, owner, epoch })) } }],
          failure: [{ request_range: { key: this.#key } }],
        },
        trip,
      );
      if (body['succeeded'] === true) return answer;
      const [response] = list(body['responses']);
      const range = response?.['response_range'];
      if (typeof range !== 'object' || range === null) throw this.#nonsense(body);
      found = this.#found(range as Readonly<Record<string, unknown>>);
    }
  }

  #found(range: Readonly<Record<string, unknown>>): Found {
    // Every answer of etcd has a header, one without keys nothing else: an empty document is nobody's "there is no record".
    if (typeof range['header'] !== 'object') throw this.#nonsense(range);
    const [entry] = list(range['kvs']);
    if (entry === undefined) return { revision: '0' };
    const { mod_revision: revision, value } = entry;
    if (typeof revision !== 'string' || typeof value !== 'string') throw this.#nonsense(range);
    const text = Buffer.from(value, 'base64').toString('utf8');
    const record = recordIn(text);
    if (record !== undefined) return { record, revision };
    const message = `key ${this.#configuration.key} of etcd holds no record of a witness: ${JSON.stringify(text.slice(0, 100))}`;
    throw new HoldfastError('HF_WITNESS_STATE', message, { key: this.#configuration.key });
  }

  #ask(method: string, body: unknown, { connections, signal, deadlineMs }: Trip): Promise<Readonly<Record<string, unknown>>> {
    return this.#gateway.ask(method, body, connections, signal, deadlineMs);
  }

  #within<T>(signal: AbortSignal | undefined, connections: Connections, work: (trip: Trip) => Promise<T>): Promise<T> {
    const { timeoutMs } = this.#configuration;
    const deadlineMs = performance.now() + timeoutMs;
    return this.#operations.run(timeoutMs, signal, (ended) => work({ connections, signal: ended, deadlineMs }));
  }

  #nonsense(body: unknown): HoldfastError {
    return new HoldfastError('HF_WITNESS_PROTOCOL', `${this.name} does not answer as etcd: ${JSON.stringify(body).slice(0, 200)}`);
  }
}

function recordIn(text: string): WitnessRecord | undefined {
  try {
    return witnessRecordOf(JSON.parse(text));
  } catch {
    return undefined;
  }
}

function list(value: unknown): readonly Readonly<Record<string, unknown>>[] {
  return Array.isArray(value) ? (value as readonly Readonly<Record<string, unknown>>[]) : [];
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}
