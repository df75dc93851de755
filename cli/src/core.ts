/**
 * The door to the agent's package. The command line talks to a running agent through its API client alone; only `agent`,
 * `cluster config` and `witness` load more of the core, and only when they run.
 */
import type * as Core from '@holdfast/core';
import type * as Discovery from '@holdfast/core/discovery';

export { createClient, PHASE_EXIT_CODE } from '@holdfast/core/client';
export type {
  Client,
  ClusterConfiguration,
  ClusterView,
  ConfigurationChange,
  ConfigurationDifference,
  ConfigurationView,
  ConfigureOptions,
  ConfigureResult,
  ConflictObjectView,
  ConflictView,
  LogEntry,
  LoopView,
  MaintenanceView,
  ModuleView,
  OutsideVerdict,
  ScriptNote,
  ResourceView,
  Verb,
  VerbOptions,
  VerificationOptions,
  VerificationView,
  VirtualAddressView,
} from '@holdfast/core';

export function loadCore(): Promise<typeof Core> {
  return import('@holdfast/core');
}

/** Plug-ins by their manifests; a small part of the core. */
export function loadDiscovery(): Promise<typeof Discovery> {
  return import('@holdfast/core/discovery');
}
