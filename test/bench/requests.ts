/** The request client of a lab, seen from the benchmark that started it. */
import { fileURLToPath } from 'node:url';
import { type LabMachine, monotonicMs, type RunningCommand, waitFor } from '../lab/index.js';
import { type Answer, outageMs, parseAnswer } from './gaps.js';

const CLIENT = fileURLToPath(new URL('./request-client.js', import.meta.url));
const SERVICE = fileURLToPath(new URL('./answering-service.js', import.meta.url));
const PORT = '8080';
const ANSWER_MS_MAX = 60_000;
/** So many answers in a row before anything is broken, and after it is mended. */
const STEADY = 20;

/** Starts what answers on a node; it ends with the node's power. */
export async function startAnswering(machine: LabMachine): Promise<void> {
  const service = machine.spawn([process.execPath, SERVICE, PORT, machine.name]);
  await service.waitForLine(/^ready$/, ANSWER_MS_MAX);
}

export class Requests {
  readonly #command: RunningCommand;
  readonly #answers: Answer[] = [];

  /** Asks for as long as it is not stopped. */
  constructor(client: LabMachine, address: string) {
    this.#command = client.spawn([process.execPath, CLIENT, address, PORT]);
    this.#command.onLine(({ stream, text }) => {
      const answer = stream === 'stdout' ? parseAnswer(text) : undefined;
      if (answer !== undefined) this.#answers.push(answer);
    });
  }

  /** Resolves when `node`, and nobody else, answers. */
  async answeredBy(node: string): Promise<void> {
    const sinceMs = monotonicMs();
    await waitFor(`${node} to answer`, ANSWER_MS_MAX, () => {
      const recent = this.#answers.slice(-STEADY);
      return recent.length === STEADY && recent.every((answer) => answer.node === node && answer.atMs > sinceMs);
    });
  }

  /** How long nobody answered while the address went from one node to the other. */
  async outage(from: string, to: string, event: () => Promise<void>): Promise<number> {
    await this.answeredBy(from);
    const sinceMs = monotonicMs();
    await event();
    await this.answeredBy(to);
    const outage = outageMs(this.#answers, from, to, sinceMs);
    if (outage === undefined) throw new Error(`${to} has not answered after ${from}`);
    return outage;
  }

  async stop(): Promise<void> {
    this.#command.kill();
    await this.#command.finished;
  }
}
