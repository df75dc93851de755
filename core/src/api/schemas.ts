/** Schemas of everything that crosses the API, in the order of contract.ts; the compiler ties each to its type (json-schema.ts). */
import type { DataCondition, NodeReport } from '../model/report.js';
import type { ResourceValue } from '../model/resource.js';
import type { Phase, Quality } from '../model/state.js';
import type {
  ClusterView,
  ConfigureResult,
  LogEntry,
  ModuleListEntry,
  ModuleView,
  ReplicationView,
  ResourceView,
  VerificationOptions,
  VerificationView,
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

/** Query of the log, as it is in the URL: numbers are digits and are turned into numbers by the route. */
export interface LogQuery {
  readonly after?: string;
  readonly limit?: string;
  readonly levels?: string;
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

export interface ConfigureBody {
  readonly check?: boolean;
}

export type VerificationBody = VerificationOptions;

const name = (description: string): JsonSchema => ({ type: 'string', pattern: NAME_PATTERN, description });
const natural = (description: string): JsonSchema => ({ type: 'string', pattern: NATURAL_PATTERN, description });

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

const replication = objectOf<ReplicationView>({
  role: oneOf<ReplicationView['role']>({ stopped: true, primary: true, secondary: true }),
  link,
  condition,
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
  failure: optional(objectOf<NonNullable<ReplicationView['failure']>>({ code: text(), message: text() })),
});

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
    peer: optional(
      objectOf<NonNullable<ModuleView['peer']>>({ node: text(), alive: flag(), phase: optional(phase), quality: optional(quality) }),
    ),
    replication: optional(replication),
    addresses: arrayOf(objectOf<ModuleView['addresses'][number]>({ address: text(), state: text() }), 'Virtual addresses'),
    generation: objectOf<ModuleView['generation']>({ current: text(), epoch: integer(), history: arrayOf(text()) }),
    arbitration: objectOf<ModuleView['arbitration']>(
      { grade: oneOf<ModuleView['arbitration']['grade']>({ none: true, weak: true, strong: true }), text: text() },
      'What would happen at a network cut',
    ),
    configuration: objectOf<ModuleView['configuration']>({
      applied: text('Digest'),
      edited: optional(text('Digest of the edited source')),
    }),
    maxloop: objectOf<ModuleView['maxloop']>({ count: integer(), max: integer() }),
  },
  'State of a module on a node',
);

export const resourceView = objectOf<ResourceView>({
  name: text(),
  value: oneOf<ResourceValue>({ init: true, up: true, down: true, unknown: true }),
  detail: text(),
  since: text('ISO 8601'),
  history: arrayOf(objectOf<ResourceView['history'][number]>({ at: text('ISO 8601'), value: text(), detail: text() })),
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

export const configureResult = objectOf<ConfigureResult>({ module: text(), digest: text(), warnings: arrayOf(text()) });

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
  nosync: optional(flag('swap without synchronisation')),
  identity: optional({
    type: 'string',
    pattern: '^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$',
    description: 'Marks an automatic action, which counts in maxloop',
  }),
});

export const verificationBody = objectOf<VerificationOptions>({
  repair: optional(flag('What differs on the secondary is copied from the primary, and compared again')),
  bytesPerSecondMax: optional({ type: 'integer', minimum: 1, description: 'Content compared per second' }),
});

export const verificationBegun = objectOf<{ readonly id: string }>({ id: text('Of this comparison') });

export const installBody = objectOf<InstallBody>({
  folder: { type: 'string', minLength: 1, maxLength: 4096, pattern: '^/', description: 'Absolute path of the module folder on the node' },
  name: optional(name('Name to install under; default: the one in module.json')),
  id: optional({ type: 'integer', minimum: 1, maximum: 255, description: 'Number of the module' }),
  replace: optional(flag('Replace a module of the same name')),
});

export const configureBody = objectOf<ConfigureBody>({ check: optional(flag('Only validate')) });
