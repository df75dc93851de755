/**
 * A plug-in adds a mechanism: a heartbeat transport, a virtual-IP driver, a replication backend, a checker or a witness. The host
 * reads its `plugin.json` without running code, checks the SDK range, imports `main` and calls `register`, then `start`; `stop` comes in
 * reverse order. A plug-in gets a context object, never a container, a socket of the agent or another plug-in.
 */
import type { Checker } from './checker.js';
import type { HeartbeatTransport } from './heartbeat.js';
import type { ReplicationBackend } from './replication.js';
import type { VirtualIpDriver } from './virtual-ip.js';
import type { WitnessProvider } from './witness.js';

/** Structured log of one plug-in; `fields` are JSON-serialisable. One line per event, no stack for an operating error. */
export interface Log {
  debug(message: string, fields?: Readonly<Record<string, unknown>>): void;
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
  error(message: string, fields?: Readonly<Record<string, unknown>>): void;
}

/** Only for `register`: pure and fast, no I/O, no timers. Each `type` is declared in `contributes` of plugin.json. */
export interface RegisterContext {
  heartbeatTransport(type: string, implementation: HeartbeatTransport): void;
  virtualIpDriver(type: string, implementation: VirtualIpDriver): void;
  replicationBackend(type: string, implementation: ReplicationBackend): void;
  checker(type: string, implementation: Checker): void;
  witness(type: string, implementation: WitnessProvider): void;
}

export interface PluginContext {
  readonly log: Log;
  /** A directory of the plug-in's own on this node, absolute path, created before `start`. */
  readonly stateDirectory: string;
}

export interface Plugin {
  register(context: RegisterContext): void;
  /** May do I/O. Must finish within `budgets.startMs`, else the plug-in is refused by name. */
  start?(context: PluginContext, signal: AbortSignal): Promise<void>;
  /** New context values; return 'restart' when they cannot be applied while running. On a throw the old ones stay. */
  reconfigure?(context: PluginContext, signal: AbortSignal): Promise<'applied' | 'restart'>;
  /** Idempotent, always called, in reverse order, bounded by `budgets.stopMs`. */
  stop?(): Promise<void>;
}

export type ExtensionPoint = 'heartbeatTransport' | 'virtualIpDriver' | 'replicationBackend' | 'checker' | 'witness';

/** The element of userconfig.xml that a contribution serves, for example `tcp` below `check`. */
export interface ContributedElement {
  readonly element: string;
  /** The parent element: `service`, `vip`, `check` or `witness`. */
  readonly parent: 'service' | 'vip' | 'check' | 'witness';
  /** Path of the JSON schema of the element, relative to plugin.json. See `ElementValue` for the shape that it validates. */
  readonly schema: string;
}

export interface Contribution {
  readonly type: string;
  /** Contract version of the extension point. */
  readonly api: 1;
  readonly supports?: readonly string[];
  readonly configuration?: ContributedElement;
}

export interface PluginManifest {
  readonly manifestVersion: 1;
  readonly id: string;
  readonly version: string;
  readonly publisher: string;
  readonly title: string;
  readonly license: string;
  /** Bounded semver ranges. */
  readonly engines: { readonly sdk: string; readonly node?: string };
  readonly platforms?: readonly string[];
  readonly main: string;
  readonly contributes: { readonly [Point in ExtensionPoint]?: readonly Contribution[] };
  /** Plug-in id to semver range: those start before this one. */
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly permissions?: readonly { readonly use: string; readonly values?: readonly string[]; readonly why: string }[];
  readonly budgets?: { readonly startMs?: number; readonly stopMs?: number };
}

/**
 * A configuration element as the schema sees it: attributes are properties with their coerced value (string, number, boolean); children
 * are arrays under the child element's name. A property with `"x-unit": "ms" | "s"` is written as a time (`2s`, `500ms`, or a bare number
 * of that unit) and arrives as a number in that unit; a boolean is written on/off.
 */
export type ElementValue = Readonly<{ [name: string]: string | number | boolean | readonly ElementValue[] }>;
