/** The validated configuration of a cluster and of a module, as the engine uses it. Produced by config/, consumed everywhere. */
import type { SplitBrainPolicy } from './report.js';
import type { FailoverConfiguration } from './rules.js';
import type { ModuleName, NodeId } from './state.js';

export interface ClusterLan {
  readonly name: string;
  /** Used for commands between nodes; exactly one lan has it. */
  readonly command: boolean;
  /** IP literals as written in cluster.xml (`laddr` replaces `addr` on the node itself). */
  readonly nodes: readonly { readonly name: NodeId; readonly address: string; readonly localAddress?: string }[];
}

export interface ClusterConfiguration {
  readonly lans: readonly ClusterLan[];
  /** Port of the cluster protocol (cluster.xml `port`). */
  readonly port: number;
  /** SHA-256 of the canonical content, hexadecimal. */
  readonly digest: string;
}

export type ContributedPoint = 'heartbeatTransport' | 'virtualIpDriver' | 'replicationBackend' | 'checker' | 'witness';

/** An element that a plug-in serves, validated by the plug-in's schema. */
export interface ContributedConfiguration {
  readonly point: ContributedPoint;
  readonly type: string;
  /** Element name, line and column in userconfig.xml (1-based). */
  readonly element: string;
  readonly line: number;
  readonly column: number;
  /** Same shape as ElementValue of the SDK. */
  readonly value: ConfigurationValue;
}

export type ConfigurationValue = Readonly<{ [name: string]: string | number | boolean | readonly ConfigurationValue[] }>;

export interface ServiceConfiguration {
  readonly mode: 'mirror' | 'farm' | 'light';
  readonly boot: 'on' | 'off' | 'auto' | 'ignore';
  readonly bootDelayMs: number;
  readonly failover: boolean;
  /** What happens by itself after both nodes went on without the other. */
  readonly splitBrain: SplitBrainPolicy;
  /** An automatic stopstart, and an application that cannot be ended, boot the machine. */
  readonly automaticReboot: boolean;
  /** `alone`, `lastprim` or a node name. */
  readonly defaultPrimary: string;
  readonly maxLoop: number;
  /** 0 disables the counter. */
  readonly loopIntervalMs: number;
}

export interface HeartbeatConfiguration {
  /** Resource name is `heartbeat.<ident>`; ident defaults to the lan's name. */
  readonly lan: string;
  readonly ident: string;
  /** The heartbeat's network carries the replication (`ident="flow"`, else the first). */
  readonly flow: boolean;
}

export interface HeartConfiguration {
  /** UDP port; default 8888 + (id - 1). */
  readonly port: number;
  readonly pulseMs: number;
  readonly timeoutMs: number;
  readonly heartbeats: readonly HeartbeatConfiguration[];
}

export interface FarmConfiguration {
  /** UDP ports of the module on a node: with N nodes, each pair of nodes has one of them. Default of the first: from 4803. */
  readonly ports: readonly number[];
  readonly pulseMs: number;
  /** Silence after which a new leader is elected. */
  readonly leaderTimeoutMs: number;
  /** Silence after which another node counts as gone. */
  readonly memberTimeoutMs: number;
  readonly lans: readonly string[];
  /** What is shared, each with the power of the nodes; a node that is not named has 1. */
  readonly groups: readonly { readonly name: string; readonly powers: Readonly<Record<NodeId, number>> }[];
}

export interface ScriptsConfiguration {
  readonly niceStopTimeoutMs: number;
  readonly forceStopTimeoutMs: number;
  /** Limit for start scripts and transition. */
  readonly startTimeoutMs: number;
  readonly logging: boolean;
  readonly logBytesMax: number;
  readonly variables: Readonly<Record<string, string>>;
}

export interface VirtualHostConfiguration {
  readonly name: string;
  /** A file in the module's bin/, or an absolute path. */
  readonly envFile?: string;
  /** Whose scripts see the name. */
  readonly when: 'prim' | 'second' | 'both';
}

export interface VirtualAddressConfiguration {
  /** TCP connections of the addresses are reset before those leave by a decision. */
  readonly tcpReset: boolean;
}

export interface ArbitrationConfiguration {
  /** How long a node that hears nobody waits for a decision: a primary holds its writes that long. */
  readonly undecidedLimitMs: number;
  /** What a primary does then. */
  readonly undecided: 'stop' | 'continue';
}

export interface ModuleConfiguration {
  readonly name: ModuleName;
  /** 1-based, the same on every node; fixes the ports. */
  readonly id: number;
  readonly service: ServiceConfiguration;
  readonly heart?: HeartConfiguration;
  readonly farm?: FarmConfiguration;
  /** Absent: no scripts run. */
  readonly scripts?: ScriptsConfiguration;
  readonly virtualHost?: VirtualHostConfiguration;
  /** Absent: there is no <vip>. */
  readonly vip?: VirtualAddressConfiguration;
  readonly arbitration: ArbitrationConfiguration;
  /** Absent: only the built-in rules. */
  readonly failover?: FailoverConfiguration;
  readonly contributed: readonly ContributedConfiguration[];
  /** SHA-256 over the expanded configuration and the scripts, hexadecimal. */
  readonly digest: string;
}

/** TCP port of a module's replication; four ports are reserved per module. */
export function replicationPort(moduleId: number): number {
  return 5600 + (moduleId - 1) * 4;
}

/** Peer API between nodes, TLS. */
export const PEER_PORT_DEFAULT = 9453;
