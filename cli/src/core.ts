/**
 * The door to the agent's package. The command line talks to a running agent through its API client alone; only `agent` and
 * `cluster config` load more of the core, and only when they run.
 */
import type * as Core from '@holdfast/core';

export { createClient, PHASE_EXIT_CODE } from '@holdfast/core/client';
export type {
  Client,
  ClusterConfiguration,
  ClusterView,
  LogEntry,
  ModuleView,
  ResourceView,
  Verb,
  VerbOptions,
  VerificationOptions,
  VerificationView,
} from '@holdfast/core';

export function loadCore(): Promise<typeof Core> {
  return import('@holdfast/core');
}
