/** Resources of a module with their history: what was found, when, for how long, and what the failover rules are told of it. */
import type { ResourceView } from '../api/contract.js';
import type { ResourceValue } from '../model/resource.js';
import type { FailoverConfiguration, RuleFacts } from '../model/rules.js';
import type { ResourceFacts, WatchedResource } from './resource-facts.js';
import { ResourceFigures } from './resource-figures.js';
import type { ResourceHistory } from './resource-history.js';

interface Page {
  value: ResourceValue;
  detail: string;
  since: string;
}

export interface Saying {
  /** Who said so, when it was said from outside. */
  readonly by?: string;
  /** Not to be found in the history. */
  readonly unrecorded?: boolean;
}

export class ResourceBook {
  private readonly pages = new Map<string, Page>();

  constructor(
    private readonly facts?: ResourceFacts,
    private readonly history?: ResourceHistory,
    readonly figures = new ResourceFigures(() => 0),
  ) {}

  /** @returns whether the value changed; a new detail alone is not a change. */
  set(name: string, value: ResourceValue, detail: string, { by, unrecorded = false }: Saying = {}): boolean {
    const page = this.pages.get(name);
    if (page?.value === value) {
      page.detail = detail;
      return false;
    }
    const at = new Date().toISOString();
    this.pages.set(name, { value, detail, since: at });
    this.facts?.set(name, value);
    // What a restart of the agent finds again is no news.
    const isNews = page !== undefined || this.history?.of(name).at(-1)?.value !== value;
    if (isNews && !unrecorded) this.history?.add(name, { at, value, detail, ...(by === undefined ? {} : { by }) });
    return true;
  }

  /** What the failover rules need to know, when it changed since the last call. */
  takeFacts(): RuleFacts | undefined {
    return this.facts?.take();
  }

  /** Its check goes on while the module waits. */
  isWatchedInWait(name: string): boolean {
    return this.facts?.isWatchedInWait(name) ?? false;
  }

  /** Forgets a resource that no check has any more; what is kept of it in the history stays. */
  remove(name: string): void {
    this.pages.delete(name);
    this.figures.set(name);
    this.facts?.remove(name);
  }

  /** The module goes on with other checks. */
  watch(watched: readonly WatchedResource[]): void {
    this.facts?.watch(watched);
  }

  /** Other failover rules: what they name is counted from now on. */
  govern(failover: FailoverConfiguration | undefined): void {
    this.facts?.govern(failover);
  }

  /** All resources, or the one of this name. */
  list(only?: string): readonly ResourceView[] {
    const names = only === undefined ? [...this.pages.keys()].sort() : [only];
    return names.flatMap((name) => {
      const page = this.pages.get(name);
      if (page === undefined) return [];
      const figures = this.figures.of(name);
      return [{ name, ...page, ...(figures.length === 0 ? {} : { figures }), history: this.history?.of(name) ?? [] }];
    });
  }

  /** Names and values of one class, without their history. */
  ofClass(name: string): readonly { readonly name: string; readonly value: ResourceValue; readonly detail: string }[] {
    const prefix = `${name}.`;
    return [...this.pages].flatMap(([found, { value, detail }]) => (found.startsWith(prefix) ? [{ name: found, value, detail }] : []));
  }
}
