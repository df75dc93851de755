/** One interface as a check: looks when the kernel says that something changed, and every second in case that was not heard. */
import type { Check, CheckAction, CheckHead, CheckPhase, CheckResult, Log, Repeats } from '@holdfast/sdk';
import type { LinkEvents } from './link-events.js';
import { LinkState } from './link-state.js';

const LOOK_EVERY_MS = 1000;
/** An unchanged state is repeated this often, so that one that must be repeated comes true. */
const SILENCE_MS = 10_000;

export class InterfaceCheck implements Check {
  readonly resource: string;
  readonly phase: CheckPhase;
  readonly action: CheckAction;
  readonly repeats: Repeats;
  readonly silenceMs = SILENCE_MS;
  private running: { readonly timer: NodeJS.Timeout; readonly unsubscribe: () => Promise<void> } | undefined;

  constructor(
    head: CheckHead,
    private readonly address: string,
    private readonly events: LinkEvents,
    private readonly log: Log,
  ) {
    this.resource = head.resource;
    this.phase = head.phase;
    this.action = head.action;
    this.repeats = head.repeats;
  }

  async start(report: (result: CheckResult) => void): Promise<void> {
    if (this.running !== undefined) return;
    const state = new LinkState(this.address);
    const look = (): void => report(state.read());
    const unsubscribe = this.events.subscribe(look, (message) => {
      this.log.warn('changes of links are seen once a second only', { resource: this.resource, error: message });
    });
    this.running = { timer: setInterval(look, LOOK_EVERY_MS), unsubscribe };
    look();
  }

  async stop(): Promise<void> {
    const { running } = this;
    this.running = undefined;
    clearInterval(running?.timer);
    await running?.unsubscribe();
  }
}
