/** Resources: named facts about a module on a node, set by checkers and by the engine, shown with their history. */

export type ResourceValue = 'init' | 'up' | 'down' | 'unknown';

export interface Resource {
  /** For example `tcp.ledger`, `proc.postgres`, `heartbeat.default`, `rfs.uptodate`. */
  readonly name: string;
  readonly value: ResourceValue;
  readonly detail: string;
}

export type CheckAction = 'restart' | 'stopstart' | 'stop' | 'wait' | 'noaction';
