/** Configurations of an agent without engine: fixed answers with every property that the contract knows. */
import type {
  ConfigurationDifference,
  ConfigurationFiles,
  ConfigurationService,
  ConfigurationView,
  ConfigureResult,
  PrepareAnswer,
} from '../src/api/configuration-contract.js';

const AT = '2026-11-20T10:00:00.000Z';

export class MemoryConfigurations implements ConfigurationService {
  /** What was asked, in order. */
  readonly asked: string[] = [];

  /** @param nodeOf throws for a module that is not there */
  constructor(private readonly nodeOf: (module: string) => string) {}

  async view(module: string): Promise<ConfigurationView> {
    const kept = { number: 7, digest: 'd7'.repeat(32), signature: 's7'.repeat(32), at: AT, origin: 'config' };
    return {
      module,
      node: this.nodeOf(module),
      applied: kept,
      edited: { digest: 'd8'.repeat(32), signature: 's8'.repeat(32), at: AT },
      state: 'edited, not applied',
      stale: false,
      undecided: { digest: 'd9', coordinator: 'node2', since: AT },
      kept: [{ ...kept, number: 6, origin: 'rollback to 4' }],
      peer: { node: 'node2', digest: 'd6', same: false },
    };
  }

  async difference(module: string, options: { with?: string }): Promise<ConfigurationDifference> {
    this.nodeOf(module);
    this.asked.push(`difference ${options.with ?? 'edited'}`);
    return { module, from: 'a', to: 'b', same: false, text: '--- a\n+++ b', files: [{ path: 'bin/start_prim', change: 'changed' }] };
  }

  async rollback(module: string, options: { to?: number }): Promise<ConfigureResult> {
    this.nodeOf(module);
    this.asked.push(`rollback ${options.to ?? 'before'}`);
    return { module, digest: 'd6', warnings: [], outcome: 'applied', changes: [], live: false };
  }

  async deconfigure(module: string): Promise<void> {
    this.asked.push(`deconfigure ${this.nodeOf(module)}`);
  }

  async prepare(module: string): Promise<PrepareAnswer> {
    this.nodeOf(module);
    return { outcome: 'prepared', changes: [] };
  }

  async commit(module: string): Promise<void> {
    this.asked.push(`commit ${this.nodeOf(module)}`);
  }

  async abort(module: string): Promise<void> {
    this.asked.push(`abort ${this.nodeOf(module)}`);
  }

  async outcome(module: string): Promise<{ readonly outcome: 'committed' }> {
    this.nodeOf(module);
    return { outcome: 'committed' };
  }

  async files(module: string): Promise<ConfigurationFiles> {
    this.nodeOf(module);
    return { files: [{ path: 'conf/userconfig.xml', executable: false, content: 'PHNhZmUvPg==' }] };
  }
}
