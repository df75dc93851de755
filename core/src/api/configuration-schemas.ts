/** Schemas of configuration-contract.ts; the compiler ties each to its type. */
import type { ConfigurationChange } from '../model/configuration-change.js';
import type {
  ConfigurationDifference,
  ConfigurationFiles,
  ConfigurationView,
  ConfigureOptions,
  ConfigureResult,
  KeptConfiguration,
  PeerOutcome,
  PrepareAnswer,
  PrepareBody,
  TransactionOutcome,
} from './configuration-contract.js';
import { arrayOf, flag, integer, type JsonSchema, objectOf, oneOf, optional, text } from './json-schema.js';

const TRANSACTION = { type: 'string', pattern: '^[0-9a-f]{32}$', description: 'Of the change, the same on both nodes' };
const NODE = { type: 'string', pattern: '^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$' };

const change = objectOf<ConfigurationChange>(
  {
    element: text('Of userconfig.xml, without brackets; bin: a script'),
    attribute: optional(text()),
    line: optional(integer()),
    text: text('For people'),
    live: flag('A running module can take it'),
    reason: optional(text('Why it cannot, and what to do')),
  },
  'A difference between two configurations',
);

const peerOutcome = objectOf<PeerOutcome>(
  {
    node: text(),
    outcome: oneOf<PeerOutcome['outcome']>({
      applied: true,
      unchanged: true,
      planned: true,
      undecided: true,
      unreachable: true,
      'not installed': true,
      failed: true,
    }),
    changes: arrayOf(change),
    text: text('For people'),
  },
  'What the other node did',
);

export const configureResult = objectOf<ConfigureResult>({
  module: text(),
  digest: text(),
  warnings: arrayOf(text()),
  outcome: oneOf<ConfigureResult['outcome']>({ valid: true, planned: true, unchanged: true, applied: true }),
  changes: arrayOf(change),
  live: flag('The module goes on running'),
  peer: optional(peerOutcome),
});

const kept = objectOf<KeptConfiguration>({
  number: integer('For a rollback'),
  digest: text('Of the meaning'),
  signature: text('Of the files'),
  at: text('ISO 8601, wall clock of the node'),
  origin: text('config, or rollback to a number'),
});

export const configurationView = objectOf<ConfigurationView>({
  module: text(),
  node: text(),
  applied: optional(kept),
  edited: objectOf<ConfigurationView['edited']>(
    { digest: optional(text()), signature: optional(text()), at: optional(text('ISO 8601')), problem: optional(text()) },
    'The source folder',
  ),
  state: oneOf<ConfigurationView['state']>({ applied: true, 'edited, not applied': true, 'not configured': true }),
  stale: flag('The running module takes the applied configuration when it is started again'),
  undecided: optional(
    objectOf<NonNullable<ConfigurationView['undecided']>>(
      { digest: text(), coordinator: text(), since: text('ISO 8601') },
      'Stored, and waiting for the word of the node that coordinates',
    ),
  ),
  kept: arrayOf(kept, 'Applied before, newest first'),
  peer: optional(objectOf<NonNullable<ConfigurationView['peer']>>({ node: text(), digest: text(), same: flag() })),
});

export const configurationDifference = objectOf<ConfigurationDifference>({
  module: text(),
  from: text(),
  to: text(),
  same: flag(),
  text: text('Unified difference of userconfig.xml'),
  files: arrayOf(
    objectOf<ConfigurationDifference['files'][number]>({
      path: text(),
      change: oneOf<'added' | 'removed' | 'changed'>({ added: true, removed: true, changed: true }),
    }),
  ),
});

const file = objectOf<ConfigurationFiles['files'][number]>({
  path: { type: 'string', minLength: 1, maxLength: 500 },
  executable: flag(),
  content: { type: 'string', description: 'Base64' },
});

export const configurationFiles = objectOf<ConfigurationFiles>({ files: { type: 'array', maxItems: 1000, items: file } });

export const prepareBody = objectOf<PrepareBody>({
  files: { type: 'array', maxItems: 1000, items: file },
  transaction: TRANSACTION,
  coordinator: NODE,
  origin: { type: 'string', maxLength: 100 },
  dryRun: optional(flag('Only answer what would change')),
});

export const prepareAnswer = objectOf<PrepareAnswer>({
  outcome: oneOf<PrepareAnswer['outcome']>({ prepared: true, unchanged: true, planned: true }),
  changes: arrayOf(change),
});

export interface TransactionBody {
  readonly transaction: string;
}

export const transactionBody = objectOf<TransactionBody>({ transaction: TRANSACTION });

export const transactionOutcome = objectOf<{ readonly outcome: TransactionOutcome }>({
  outcome: oneOf<TransactionOutcome>({ committed: true, aborted: true, pending: true }),
});

const options = {
  check: optional(flag('Only validate, on this node')),
  dryRun: optional(flag('Say what would change; change nothing')),
  local: optional(flag('This node alone')),
};

export const configureBody = objectOf<ConfigureOptions>(options);

export type RollbackBody = ConfigureOptions & { readonly to?: number };

export const rollbackBody: JsonSchema = objectOf<RollbackBody>({
  ...options,
  to: optional({ type: 'integer', minimum: 1, description: 'Number of the kept configuration; default: the one before' }),
});

export interface DifferenceQuery {
  readonly with?: string;
}

export const differenceQuery = objectOf<DifferenceQuery>({
  with: optional({ ...NODE, description: 'Number of a kept configuration, or the other node' }),
});
