/**
 * Whether the application of the watched module was started anew since this module's own was: what depends on it must start anew too. The
 * agent tells since when the application runs; another time is a restart, or a failover. It stays down until the check stops, which the
 * action brings about, so that one restart has one consequence.
 */
import type { Check, CheckAction, CheckPhase, CheckResult } from '@holdfast/sdk';

export class RestartCheck implements Check {
  readonly resource: string;
  readonly phase: CheckPhase;
  readonly action: CheckAction;
  private report: ((result: CheckResult) => void) | undefined;
  private firstSince: string | undefined;
  private restarted = false;

  /** @param head of the check that asks the agent */
  constructor(head: { readonly resource: string; readonly phase: CheckPhase; readonly action: CheckAction }) {
    this.resource = `${head.resource}.restart`;
    this.phase = head.phase === 'pre' ? 'prim' : head.phase;
    this.action = head.action === 'wait' ? 'stopstart' : head.action;
  }

  async start(report: (result: CheckResult) => void): Promise<void> {
    this.firstSince = undefined;
    this.restarted = false;
    this.report = report;
    report({ verdict: 'up', detail: 'no restart was seen' });
  }

  async stop(): Promise<void> {
    this.report = undefined;
  }

  /** What an agent that serves has said. */
  note(since: string | undefined): void {
    if (this.report === undefined || since === undefined || this.restarted) return;
    if (since === this.firstSince) return;
    if (this.firstSince === undefined) {
      this.firstSince = since;
      this.report({ verdict: 'up', detail: `its application runs since ${since}` });
      return;
    }
    this.restarted = true;
    this.report({ verdict: 'down', detail: `its application runs since ${since}, and ran since ${this.firstSince} before` });
  }
}
