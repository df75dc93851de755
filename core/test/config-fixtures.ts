/** Elements as plug-ins describe them, a cluster of two nodes, and shorthands for the configuration's tests. */
import { HoldfastError } from '@holdfast/sdk';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import {
  type ConfigErrorCode,
  type ConfigProblem,
  type ContributedSchema,
  type ParsedModule,
  type ParseModuleOptions,
  parseCluster,
  parseModule,
} from '../src/config/index.js';
import type { ClusterConfiguration } from '../src/model/configuration.js';

export function fixture(name: string): string {
  return readFileSync(new URL(`../../test/fixtures/config/${name}`, import.meta.url), 'utf8');
}

const PHASE = { enum: ['pre', 'prim', 'both', 'second', 'sec'] };
const ACTION = { enum: ['restart', 'stopstart', 'stop', 'wait', 'noaction'] };

export function element(properties: Record<string, unknown>, required: string[] = [], more: object = {}): Record<string, unknown> {
  return { type: 'object', properties, required, additionalProperties: false, ...more };
}

export function children(items: object, more: object = {}): Record<string, unknown> {
  return { type: 'array', items, ...more };
}

const TCP = element(
  {
    ident: { type: 'string', minLength: 1 },
    when: { ...PHASE, default: 'prim' },
    action: { ...ACTION, default: 'restart' },
    to: children({ $ref: '#/$defs/to' }, { minItems: 1, maxItems: 1 }),
  },
  ['ident', 'to'],
  {
    $defs: {
      to: element(
        {
          addr: { type: 'string', format: 'host' },
          port: { type: 'integer', minimum: 1, maximum: 65535 },
          interval: { type: 'integer', 'x-unit': 'ms', 'x-bare-unit': 's', minimum: 100, default: 10_000 },
          timeout: { type: 'integer', 'x-unit': 'ms', 'x-bare-unit': 's', minimum: 10, default: 5_000 },
        },
        ['addr', 'port'],
      ),
    },
  },
);

const PROC = element(
  {
    name: { type: 'string', maxLength: 15 },
    argregex: { type: 'string', format: 'extended-regex' },
    class: { ...PHASE, default: 'prim' },
    action: { ...ACTION, default: 'stopstart' },
    atleast: { type: 'integer', minimum: -1, default: 1 },
    atmax: { type: 'integer', minimum: -1, default: -1 },
  },
  [],
  { anyOf: [{ required: ['name'] }, { required: ['argregex'] }] },
);

const ERRD = element({ polltimer: { type: 'integer', 'x-unit': 's', minimum: 1, default: 30 }, proc: children(PROC, { minItems: 1 }) }, [
  'proc',
]);

const NOT_REPLICATED = element({ path: { type: 'string' }, regexpath: { type: 'string', format: 'extended-regex-or-not' } }, [], {
  oneOf: [{ required: ['path'] }, { required: ['regexpath'] }],
});

const RFS = element(
  {
    async: { enum: ['second', 'none'], default: 'second' },
    reitimeout: { type: 'integer', 'x-unit': 's', default: 150 },
    mountoversuffix: { type: 'string', 'x-not-supported': 'nothing is renamed; remove it' },
    replicated: children(
      element(
        {
          dir: { type: 'string', format: 'abs-path' },
          mode: { enum: ['read_only'] },
          tocheck: children(element({ path: { type: 'string' } }, ['path'])),
          notreplicated: children(NOT_REPLICATED),
        },
        ['dir'],
      ),
      { minItems: 1 },
    ),
  },
  ['replicated'],
);

const VIRTUAL_ADDR = element(
  {
    addr: { type: 'string', format: 'ip' },
    where: { enum: ['one_side_alias', 'one_side'], default: 'one_side_alias' },
    check: { type: 'boolean', default: true },
  },
  ['addr'],
);
const INTERFACE = element(
  {
    name: { type: 'string' },
    arpreroute: { type: 'boolean', default: false },
    arpinterval: { type: 'number', 'x-unit': 's', exclusiveMinimum: 0, default: 60 },
    real_interface: children(element({ virtual_addr: children(VIRTUAL_ADDR, { minItems: 1 }) }, ['virtual_addr']), { maxItems: 1 }),
  },
  ['real_interface'],
);

export const ELEMENTS: readonly ContributedSchema[] = [
  { plugin: 'checker-tcp', point: 'checker', type: 'tcp', element: 'tcp', parent: 'check', schema: TCP },
  { plugin: 'checker-errd', point: 'checker', type: 'errd', element: 'errd', parent: 'service', schema: ERRD },
  { plugin: 'replication-files', point: 'replicationBackend', type: 'files', element: 'rfs', parent: 'service', schema: RFS },
  {
    plugin: 'vip-arp',
    point: 'virtualIpDriver',
    type: 'arp',
    element: 'interface_list',
    parent: 'vip',
    schema: element({ interface: children(INTERFACE, { minItems: 1 }) }, ['interface']),
  },
];

export const CLUSTER: ClusterConfiguration = parseCluster(fixture('cluster.xml'), 'cluster.xml');

export interface ParseChange {
  readonly id?: number;
  readonly name?: string;
  readonly cluster?: ClusterConfiguration;
  readonly environment?: Readonly<Record<string, string>>;
  readonly elements?: readonly ContributedSchema[];
  readonly extraDigest?: string;
  readonly refusalOf?: NonNullable<ParseModuleOptions['refusalOf']>;
  readonly resourcesOf?: NonNullable<ParseModuleOptions['resourcesOf']>;
}

export function parse(xml: string, change: ParseChange = {}): ParsedModule {
  return parseModule(xml, 'userconfig.xml', { name: 'ledger', id: 1, cluster: CLUSTER, environment: {}, elements: ELEMENTS, ...change });
}

export const HEART = '<heart><heartbeat name="default"/></heart>';

/** A mirror with a heart, and `content` in its service on the line after. */
export function mirror(content: string, attributes = ''): string {
  return `<safe>\n<service mode="mirror"${attributes}>${HEART}<user/>\n${content}\n</service>\n</safe>`;
}

/** Codes that some test has seen, to find out which code of the catalogue no test reaches. */
export const seenCodes = new Set<string>();

export function problemsOf(run: () => unknown): readonly ConfigProblem[] {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof HoldfastError, `expected a coded error, got ${String(error)}`);
    seenCodes.add(error.code);
    const problems = error.details['problems'] as ConfigProblem[];
    for (const { code } of problems) seenCodes.add(code);
    return problems;
  }
  return assert.fail('no error was thrown');
}

/** The only problem of the run: its code, its `line:column`, and a message that matches. */
export function refuses(run: () => unknown, code: ConfigErrorCode, place: string, message: RegExp): void {
  const problems = problemsOf(run);
  const text = JSON.stringify(problems);
  assert.equal(problems.length, 1, text);
  const [problem] = problems;
  assert.ok(problem !== undefined);
  assert.equal(problem.code, code, text);
  assert.equal(`${problem.line}:${problem.column}`, place, text);
  assert.match(problem.message, message);
}
