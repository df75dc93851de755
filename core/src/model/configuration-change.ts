/** What differs between two configurations of a module, in words for people and with what it takes to apply it. */
import type { ModuleConfiguration } from './configuration.js';

export interface ConfigurationChange {
  /** Element of userconfig.xml without brackets, for example `service`; `bin` for scripts. */
  readonly element: string;
  /** Absent: the element as a whole, or a child of it. */
  readonly attribute?: string;
  /** In the new userconfig.xml; of a removed element, in the old one. */
  readonly line?: number;
  readonly text: string;
  /** A running module can take it. */
  readonly live: boolean;
  /** Why it cannot, and what to do. */
  readonly reason?: string;
}

/** One configuration with what its parts say beyond its values. */
export interface PlannedConfiguration {
  readonly configuration: ModuleConfiguration;
  /** Line of each core element in userconfig.xml. */
  readonly lines: Readonly<Record<string, number>>;
  /** Digest of each file below bin/. */
  readonly scripts: Readonly<Record<string, string>>;
}
