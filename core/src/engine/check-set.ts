/** The checks of a module, started and stopped by the group of scripts that they belong to. */
import type { Check, CheckPhase, Log } from '@holdfast/sdk';
import { messageOf } from '@holdfast/sdk';
import type { CheckAction, ResourceValue } from '../model/resource.js';
import type { ResourceBook } from './resource-book.js';

type Report = (name: string, value: ResourceValue, detail: string, action: CheckAction) => void;

export class CheckSet {
  private readonly running = new Set<Check>();

  constructor(
    private readonly checks: readonly Check[],
    resources: ResourceBook,
    private readonly log: Log,
  ) {
    for (const check of checks) resources.set(check.resource, 'init', 'not watched in this state');
  }

  /** A checker that fails to start makes its resource unknown; it never stops a module from starting. */
  async start(group: CheckPhase, report: Report): Promise<void> {
    for (const check of this.checks) {
      if (check.phase !== group || this.running.has(check)) continue;
      this.running.add(check);
      try {
        await check.start((result) => {
          if (this.running.has(check)) report(check.resource, result.verdict, result.detail, check.action);
        });
      } catch (error) {
        this.log.error('checker failed to start', { resource: check.resource, error: messageOf(error) });
        report(check.resource, 'unknown', messageOf(error), check.action);
      }
    }
  }

  /** The verdicts of a check that ended say nothing any more: its resource goes back to init. */
  async stop(group: CheckPhase, report: Report): Promise<void> {
    for (const check of this.checks) {
      if (check.phase !== group || !this.running.delete(check)) continue;
      await check.stop();
      report(check.resource, 'init', 'not watched in this state', check.action);
    }
  }

  async stopAll(): Promise<void> {
    for (const check of [...this.running]) await this.stop(check.phase, () => undefined);
  }
}
