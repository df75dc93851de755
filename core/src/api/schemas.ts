/** Schemas of everything that crosses the API, in the order of contract.ts; the compiler ties each to its type (json-schema.ts). */
import type { DataCondition, NodeReport } from '../model/report.js';
import type { FigureUnit } from '@holdfast/sdk';
import type { ResourceValue } from '../model/resource.js';
import type { Phase, Quality } from '../model/state.js';
import type {
  ChecksSwitch,
  ClusterView,
  ConflictExtractionOptions,
  ConflictObjectView,
  ConflictView,
  FarmView,
  LogEntry,
  LoopChange,
  LoopView,
  MaintenanceSwitch,
  MaintenanceView,
  ModuleListEntry,
  ModuleView,
  OutsideVerdict,
  ScriptNote,
  StateForgotten,
  ReplicationView,
  ResourceView,
  VerificationOptions,
  VerificationView,
  VirtualAddressView,
  Verb,
  VerbOptions,
} from './contract.js';
import { arrayOf, flag, integer, type JsonSchema, objectOf, oneOf, optional, quantity, text } from './json-schema.js';

/** Letter or digit first: no path, no option and no `__proto__` can be a name. */
const NAME_PATTERN = '^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$';
/** At most 15 digits: exact in a double. */
const NATURAL_PATTERN = '^[0-9]{1,15}$';

/** Body of every answer that is not a success. */
export interface ErrorBody {
  readonly code: string;
  readonly message: string;
  readonly details: Readonly<Record<string, unknown>>;
}

export interface Health {
  readonly status: 'ok';
  readonly node: string;
}

export interface ModuleParams {
  readonly module: string;
}

export interface ConflictParams extends ModuleParams {
  readonly id: string;
}

export interface ConflictQuery {
  readonly after?: string;
  readonly limit?: string;
}

/** Query of the log, as it is in the URL: numbers are digits and are turned into numbers by the route. */
export interface LogQuery {
  readonly after?: string;
  readonly limit?: string;
  readonly levels?: string;
}

export interface ResourcesQuery {
  readonly name?: string;
}

export interface EventsQuery {
  readonly module?: string;
}

export interface CommandBody extends VerbOptions {
  readonly verb: Verb;
}

export interface InstallBody {
  readonly folder: string;
  readonly name?: string;
  readonly id?: number;
  readonly replace?: boolean;
}

export type VerificationBody = VerificationOptions;

const name = (description: string): JsonSchema => ({ type: 'string', pattern: NAME_PATTERN, description });
const natural = (description: string): JsonSchema => ({ type: 'string', pattern: NATURAL_PATTERN, description });

const identity = { type: 'string', pattern: '^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$' } as const;
const maintenanceName = oneOf<MaintenanceView['name']>({ checker: true, errd: true, failover: true });

const phase = oneOf<Phase>({ STOP: true, WAIT: true, ALONE: true, PRIM: true, SECOND: true, UP: true });
const quality = oneOf<Quality>({ NotReady: true, Transient: true, Ready: true });
const resyncMode = oneOf<'journal' | 'compare'>(
  { journal: true, compare: true },
  'journal: only what changed; compare: the whole tree was compared',
);
const link = oneOf<NodeReport['link']>({ none: true, connecting: true, resynchronising: true, connected: true, holding: true });
const condition = oneOf<DataCondition>({ uptodate: true, outdated: true, inconsistent: true, none: true });

export const moduleParams = objectOf<ModuleParams>({ module: name('Name of the module') });

export const errorBody = objectOf<ErrorBody>(
  {
    code: text('Stable identifier, HF_ and upper case'),
    message: text('One sentence with the offending value and the likely cause'),
    details: { type: 'object', additionalProperties: true, description: 'Values for machines' },
  },
  'Any failure',
);

export const health = objectOf<Health>({ status: oneOf<'ok'>({ ok: true }), node: text('Name of the node that answers') });

const verification = objectOf<VerificationView>({
  progress: optional(
    objectOf<NonNullable<VerificationView['progress']>>({
      id: text('Of this comparison'),
      phase: oneOf<'comparing' | 'repairing'>({ comparing: true, repairing: true }),
      objectsDone: integer(),
      bytesDone: integer(),
      bytesTotal: optional(integer('As far as known')),
      bytesPerSecond: quantity(),
      secondsLeft: optional(quantity()),
      differences: integer('Objects that differ, so far'),
    }),
  ),
  last: optional(
    objectOf<NonNullable<VerificationView['last']>>({
      id: text(),
      outcome: oneOf<'identical' | 'different'>({ identical: true, different: true }),
      node: text('The node that was primary and compared: "here" in the details'),
      at: text('ISO 8601, wall clock of that node'),
      durationMs: quantity(),
      objects: integer(),
      bytes: integer(),
      differences: integer('Objects that differ'),
      listed: arrayOf(
        objectOf<NonNullable<VerificationView['last']>['listed'][number]>({
          directory: text(),
          path: text('Relative to the directory'),
          differs: arrayOf(text(), 'content, mode, missing there, …'),
          detail: text(),
        }),
        'The first of them',
      ),
      repaired: integer('Objects that differed before the repair'),
    }),
  ),
  failure: optional(
    objectOf<NonNullable<VerificationView['failure']>>(
      { id: text(), at: text('ISO 8601'), code: text(), message: text() },
      'Why the last one ended without a result',
    ),
  ),
});

const conflictEvent = {
  id: text(),
  node: text('The node whose changes were given up'),
  generation: text('The generation that was given up'),
  at: text('ISO 8601, wall clock of the node'),
  endedAt: optional(text('Absent: the resync that overwrites has not finished')),
};

const replication = objectOf<ReplicationView>({
  role: oneOf<ReplicationView['role']>({ stopped: true, primary: true, secondary: true }),
  link,
  condition,
  image: optional(objectOf<NonNullable<ReplicationView['image']>>({ at: text(), changes: integer() })),
  progress: optional(
    objectOf<NonNullable<ReplicationView['progress']>>({
      mode: resyncMode,
      reason: optional(text('Why everything is compared')),
      bytesDone: integer(),
      bytesTotal: integer(),
      objectsDone: integer(),
      objectsTotal: integer(),
      bytesSent: integer('What travelled on the network'),
      bytesPerSecond: quantity(),
      secondsLeft: optional(quantity()),
    }),
  ),
  lastResync: optional(
    objectOf<NonNullable<ReplicationView['lastResync']>>({
      mode: resyncMode,
      reason: optional(text('Why everything was compared')),
      bytesSent: integer(),
      objectsSent: integer(),
      bytesInTree: integer(),
      durationMs: quantity(),
    }),
  ),
  verification: optional(verification),
  conflicts: optional(
    arrayOf(
      objectOf<NonNullable<ReplicationView['conflicts']>[number]>(conflictEvent),
      'Kept changes of this node that were given up after a split brain',
    ),
  ),
  note: optional(text('What the configuration makes different from the usual guarantees')),
  failure: optional(objectOf<NonNullable<ReplicationView['failure']>>({ code: text(), message: text() })),
});

const farm = objectOf<FarmView>(
  {
    leader: optional(text()),
    members: arrayOf(text(), 'Those who share the traffic'),
    table: optional(integer('Number of the table that this node holds')),
    groups: arrayOf(
      objectOf<FarmView['groups'][number]>({
        name: text(),
        accepts: integer('Buckets of 256 that this node answers for now'),
        shares: arrayOf(
          objectOf<FarmView['groups'][number]['shares'][number]>({
            node: text(),
            power: integer(),
            buckets: integer('By the table'),
            ranges: text('Which: 0-84,170'),
          }),
        ),
      }),
    ),
    nodes: arrayOf(
      objectOf<FarmView['nodes'][number]>({ node: text(), alive: flag(), phase: optional(phase), quality: optional(quality) }),
      'The other nodes',
    ),
  },
  'A farm as this node sees it',
);

export const moduleView = objectOf<ModuleView>(
  {
    module: text(),
    id: integer('Number of the module, the same on every node'),
    node: text(),
    phase: oneOf<ModuleView['phase']>({ STOP: true, WAIT: true, ALONE: true, PRIM: true, SECOND: true, UP: true, 'NOT CONFIGURED': true }),
    quality,
    detail: text('up-to-date, not up-to-date, degraded … for people'),
    reason: objectOf<ModuleView['reason']>({ code: text(), text: text() }, 'Why the module is in this state'),
    since: text('ISO 8601, wall clock of the node'),
    applicationSince: optional(text('ISO 8601: when the application was started last')),
    peer: optional(
      objectOf<NonNullable<ModuleView['peer']>>({ node: text(), alive: flag(), phase: optional(phase), quality: optional(quality) }),
    ),
    mode: optional(oneOf<NonNullable<ModuleView['mode']>>({ mirror: true, farm: true, light: true })),
    farm: optional(farm),
    replication: optional(replication),
    addresses: arrayOf(objectOf<ModuleView['addresses'][number]>({ address: text(), state: text() }), 'Virtual addresses'),
    generation: objectOf<ModuleView['generation']>({ current: text(), epoch: integer(), history: arrayOf(text()) }),
    arbitration: objectOf<ModuleView['arbitration']>(
      {
        grade: oneOf<ModuleView['arbitration']['grade']>({ none: true, weak: true, strong: true }),
        text: text(),
        witnesses: arrayOf(objectOf<ModuleView['arbitration']['witnesses'][number]>({ name: text(), reachable: flag(), detail: text() })),
      },
      'What would happen at a network cut',
    ),
    configuration: objectOf<ModuleView['configuration']>({
      applied: text('Digest'),
      edited: optional(text('Digest of the edited source')),
      peer: optional(text('Digest of the other node, when it has another one')),
      stale: optional(flag('Another one is applied, which the module takes when it is started again')),
    }),
    maxloop: objectOf<ModuleView['maxloop']>({ count: integer(), max: integer() }),
    rule: optional(
      objectOf<NonNullable<ModuleView['rule']>>({ label: text(), action: text() }, 'The gravest failover rule that holds, and its action'),
    ),
    maintenance: optional(
      arrayOf(
        objectOf<MaintenanceView>({ name: maintenanceName, since: text('ISO 8601'), by: text(), text: text('What it means') }),
        'Switches that are off',
      ),
    ),
  },
  'State of a module on a node',
);

export const resourceView = objectOf<ResourceView>({
  name: text(),
  value: oneOf<ResourceValue>({ init: true, up: true, down: true, unknown: true }),
  detail: text(),
  since: text('ISO 8601'),
  figures: optional(
    arrayOf(
      objectOf<NonNullable<ResourceView['figures']>[number]>({
        name: text(),
        value: { type: 'number' },
        unit: oneOf<FigureUnit>({ ms: true, bytes: true, percent: true, count: true }),
      }),
      'What its checker measured last',
    ),
  ),
  history: arrayOf(
    objectOf<ResourceView['history'][number]>({ at: text('ISO 8601'), value: text(), detail: text(), by: optional(text('Who said so')) }),
  ),
});

export const logEntry = objectOf<LogEntry>({
  at: text('ISO 8601, wall clock of the node'),
  node: text(),
  module: text(),
  level: oneOf<LogEntry['level']>(
    { C: true, E: true, U: true, S: true, I: true, D: true },
    'C critical, E event, U user, S script, I info, D debug',
  ),
  component: text(),
  text: text(),
  fields: optional({ type: 'object', additionalProperties: true }),
  sequence: integer('Grows by one'),
});

export const moduleListEntry = objectOf<ModuleListEntry>({
  module: text(),
  id: integer(),
  title: text(),
  version: text(),
  configured: flag(),
  edited: flag('The source was edited after it was applied'),
});

export const clusterView = objectOf<ClusterView>({
  node: text('The node that answers'),
  digest: text('Digest of its cluster configuration'),
  nodes: arrayOf(objectOf<ClusterView['nodes'][number]>({ name: text(), address: text(), reachable: flag(), digest: optional(text()) })),
  plugins: arrayOf(objectOf<ClusterView['plugins'][number]>({ id: text(), version: text(), state: text(), error: optional(text()) })),
});

export const logQuery = objectOf<LogQuery>({
  after: optional(natural('Only entries with a larger sequence')),
  limit: optional(natural('At most so many entries, newest last (default 300, at most 10000)')),
  levels: optional({ type: 'string', pattern: '^[CEUSID]{1,6}$', description: 'Letters of the levels, for example CEU' }),
});

export const eventsQuery = objectOf<EventsQuery>({ module: optional(name('Only entries of this module and of the node itself')) });

export const commandBody = objectOf<CommandBody>({
  verb: oneOf<Verb>({ start: true, stop: true, restart: true, stopstart: true, swap: true, prim: true, second: true }),
  fullsync: optional(flag('prim, second: copy everything instead of what changed')),
  nosync: optional(flag('Of existing scripts: swap does the same with and without it')),
  force: optional(flag('prim: also on a partial copy, and against what the witness says')),
  image: optional(flag('prim: puts a partial copy back to its last consistent image first')),
  identity: optional({ ...identity, description: 'Marks an automatic action, which counts in maxloop' }),
});

export const conflictView = objectOf<ConflictView>({
  ...conflictEvent,
  objects: integer(),
  bytes: integer('Of content'),
  folder: text('Where it is kept on the node'),
  extraction: optional(
    objectOf<NonNullable<ConflictView['extraction']>>(
      {
        to: text(),
        state: oneOf<'running' | 'done' | 'failed'>({ running: true, done: true, failed: true }),
        objects: integer(),
        bytes: integer(),
        failure: optional(objectOf<{ readonly code: string; readonly message: string }>({ code: text(), message: text() })),
      },
      'The one that runs, or ran last',
    ),
  ),
});

export const conflictObject = objectOf<ConflictObjectView>({
  number: integer('Grows by one'),
  path: text('Absolute, as applications knew it'),
  kind: oneOf<ConflictObjectView['kind']>({
    file: true,
    directory: true,
    symlink: true,
    fifo: true,
    socket: true,
    character: true,
    block: true,
  }),
  cause: oneOf<ConflictObjectView['cause']>(
    { removed: true, content: true, attributes: true },
    'removed: it was on this node only; content, attributes: what was overwritten',
  ),
  mode: integer('Permissions'),
  uid: integer(),
  gid: integer(),
  modifiedAt: text('ISO 8601'),
  size: integer(),
  digest: optional(text('Of content that was kept: SHA-256')),
  linkTo: optional(text('Another name of the object with this path')),
});

export const conflictParams = objectOf<ConflictParams>({
  module: name('Name of the module'),
  id: { type: 'string', pattern: '^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$', description: 'Of the conflict' },
});

export const conflictQuery = objectOf<ConflictQuery>({
  after: optional(natural('Only objects with a larger number')),
  limit: optional(natural('At most so many (default 1000, at most 10000)')),
});

export const conflictExtractionBody = objectOf<ConflictExtractionOptions>({
  paths: optional({ type: 'array', maxItems: 1000, items: { type: 'string', minLength: 1, maxLength: 4096 } }),
  to: { type: 'string', minLength: 1, maxLength: 4096, pattern: '^/', description: 'Absolute path of a folder on the node' },
});

export const verificationBody = objectOf<VerificationOptions>({
  repair: optional(flag('What differs on the secondary is copied from the primary, and compared again')),
  bytesPerSecondMax: optional({ type: 'integer', minimum: 1, description: 'Content compared per second' }),
});

export const verificationBegun = objectOf<{ readonly id: string }>({ id: text('Of this comparison') });

export const checksBody = objectOf<ChecksSwitch>({
  class: { type: 'string', pattern: '^[A-Za-z][A-Za-z0-9_-]{0,31}$', description: 'A class of the module, not one of a role' },
  enabled: flag(),
});

export const verdictBody = objectOf<OutsideVerdict>({
  resource: { type: 'string', minLength: 1, maxLength: 300, description: 'For example custom.door' },
  value: oneOf<OutsideVerdict['value']>({ up: true, down: true, unknown: true }),
  detail: optional({ type: 'string', maxLength: 300, pattern: '^[^\\p{Cc}]*$', description: 'For people' }),
  identity: optional({ ...identity, description: 'Who says so' }),
  unrecorded: optional(flag('Not to be found in the history')),
  force: optional(flag('Also of a resource that its checker finds out by itself, until its next verdict')),
});

export const maintenanceBody = objectOf<MaintenanceSwitch>({
  name: maintenanceName,
  on: flag(),
  identity: optional({ ...identity, description: 'Who switches' }),
});

export const loopBody = objectOf<LoopChange>({
  change: oneOf<LoopChange['change']>({ increment: true, reset: true }),
  identity: optional({ ...identity, description: 'Who took the action' }),
});

export const loopView = objectOf<LoopView>({
  count: integer('Automatic actions within the interval'),
  max: integer('So many are allowed'),
  reached: flag('The next one stops the module; an increment was not counted'),
});

export const stateForgotten = objectOf<StateForgotten>({
  aside: arrayOf({ type: 'string', description: 'A damaged file under its new name, absolute' }),
});

export const virtualAddressView = objectOf<VirtualAddressView>({
  module: text(),
  nodes: arrayOf(objectOf<VirtualAddressView['nodes'][number]>({ name: text(), addresses: arrayOf(text('IP literal')) })),
  elements: arrayOf(
    objectOf<VirtualAddressView['elements'][number]>({
      type: text('Of the driver'),
      element: text(),
      value: { type: 'object', additionalProperties: true, description: 'The element, with its defaults' },
    }),
  ),
});

export const resourcesQuery = objectOf<ResourcesQuery>({
  name: optional({ type: 'string', minLength: 1, maxLength: 300, description: 'Only this resource' }),
});

export const noteBody = objectOf<ScriptNote>({
  level: oneOf<ScriptNote['level']>({ info: true, event: true, warning: true }),
  text: { type: 'string', minLength: 1, maxLength: 1000, pattern: '^[^\\p{Cc}]*$', description: 'One line' },
});

export const installBody = objectOf<InstallBody>({
  folder: { type: 'string', minLength: 1, maxLength: 4096, pattern: '^/', description: 'Absolute path of the module folder on the node' },
  name: optional(name('Name to install under; default: the one in module.json')),
  id: optional({ type: 'integer', minimum: 1, maximum: 255, description: 'Number of the module' }),
  replace: optional(flag('Replace a module of the same name')),
});
