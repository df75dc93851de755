/**
 * What a primary does about an agent that hangs: nothing is acknowledged from the moment when it counts as silent, and what waited goes on
 * when it decides again. One that never does is no loss for the data: the peer has everything that was acknowledged.
 */
import type { Pipeline } from '../primary/pipeline.js';
import { AgentAttention } from '../system/attention.js';
import type { RoleSurroundings } from './surroundings.js';

/** How often a silent agent is looked for. */
const LOOK_MS = 50;

export class Attendance {
  readonly #attention: AgentAttention;
  readonly #silenceMaxMs: number;
  readonly #log: RoleSurroundings['log'];
  #isWaiting = false;

  constructor({ settings, log }: RoleSurroundings) {
    this.#attention = new AgentAttention(settings.attention.shared);
    this.#silenceMaxMs = settings.attention.silenceMaxMs;
    this.#log = log;
  }

  get isAttended(): boolean {
    return this.#attention.silentMs < this.#silenceMaxMs;
  }

  /** How long the loop may sleep. */
  get waitMs(): number {
    return this.#isWaiting ? LOOK_MS : Infinity;
  }

  /** Once per turn of the loop. */
  follow(pipeline: Pipeline): void {
    if (pipeline.isUnattended && !this.#isWaiting) {
      this.#log('error', `the agent has not decided for ${this.#silenceMaxMs} ms: modifications wait until it does`);
    }
    pipeline.attend();
    if (this.#isWaiting && !pipeline.isUnattended) this.#log('info', 'the agent decides again');
    this.#isWaiting = pipeline.isUnattended;
  }
}
