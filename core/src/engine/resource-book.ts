/** Resources of a module with their history: what was found, when, for how long. */
import type { ResourceView } from '../api/contract.js';
import type { ResourceValue } from '../model/resource.js';

const HISTORY_MAX = 50;

interface Page {
  value: ResourceValue;
  detail: string;
  since: string;
  history: { at: string; value: string; detail: string }[];
}

export class ResourceBook {
  private readonly pages = new Map<string, Page>();

  /** @returns whether the value changed; a new detail alone is not a change. */
  set(name: string, value: ResourceValue, detail: string): boolean {
    const at = new Date().toISOString();
    const page = this.pages.get(name);
    if (page?.value === value) {
      page.detail = detail;
      return false;
    }
    const history = [...(page?.history ?? []), { at, value, detail }].slice(-HISTORY_MAX);
    this.pages.set(name, { value, detail, since: at, history });
    return true;
  }

  remove(name: string): void {
    this.pages.delete(name);
  }

  list(): readonly ResourceView[] {
    return [...this.pages].sort(([a], [b]) => a.localeCompare(b)).map(([name, page]) => ({ name, ...page }));
  }
}
