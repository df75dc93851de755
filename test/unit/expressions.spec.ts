/**
 * No expression can stop a node, whatever it is matched with: every attribute of every schema that takes one is found here, must be marked
 * as such (so that the configuration refuses what the one engine cannot bound), and is tried with expressions that make other engines
 * backtrack for ever, on 60 kB, by the code that really evaluates it. An attribute that is new is missing in the table, and fails.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Check, type CheckResult, ExtendedRegex, type Plugin } from '@holdfast/sdk';
import { createdChecks } from '@holdfast/sdk/testkit/created';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const TEXT_BYTES = 60_000;
/** Of processor time, for everything that one attribute is tried with, over what the same costs with an expression of one letter. */
const COST_MS_MAX = 3_000;
const CATASTROPHES = [
  '(a+)+$',
  '(a|a)*c',
  '(a|aa)+c',
  '([a-z]+)*#',
  '(.*a){20}c',
  '(x+x+)+y',
  '(a|b)*a(a|b){200}c',
  '(a?){250}a{250}c',
  '(a{0,40}){0,40}c',
  '((a{1,30}){1,30}){1,30}',
];
const EXPRESSION_FORMATS = ['extended-regex', 'extended-regex-or-not'];
const CALLED_EXPRESSION = /regex|regular|expression|pattern/i;

interface Schema {
  readonly type?: string;
  readonly format?: string;
  readonly description?: string;
  readonly $ref?: string;
  readonly $defs?: Readonly<Record<string, Schema>>;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
}

interface Attribute {
  /** `http/to body`. */
  readonly name: string;
  readonly schema: Schema;
}

/** The text attributes of an element and of those in it. */
function attributesOf(element: string, schema: Schema, root: Schema): readonly Attribute[] {
  const target = schema.$ref === undefined ? schema : (root.$defs?.[schema.$ref.replace('#/$defs/', '')] ?? {});
  return Object.entries(target.properties ?? {}).flatMap(([name, property]) => {
    const whole = property.$ref === undefined ? property : (root.$defs?.[property.$ref.replace('#/$defs/', '')] ?? {});
    if (whole.items !== undefined) return attributesOf(`${element}/${name}`, whole.items, root);
    return whole.type === 'string' ? [{ name: `${element} ${name}`, schema: whole }] : [];
  });
}

function schemas(): readonly { readonly element: string; readonly schema: Schema }[] {
  const plugins = readdirSync(join(ROOT, 'plugins')).map((name) => join(ROOT, 'plugins', name, 'schemas'));
  return plugins.flatMap((folder) => {
    const files = ((): readonly string[] => {
      try {
        return readdirSync(folder);
      } catch {
        return [];
      }
    })();
    return files.map((file) => ({
      element: file.replace(/\.json$/, ''),
      schema: JSON.parse(readFileSync(join(folder, file), 'utf8')) as Schema,
    }));
  });
}

const ATTRIBUTES = schemas().flatMap(({ element, schema }) => attributesOf(element, schema, schema));
const TAKING = ATTRIBUTES.filter(
  ({ name, schema }) => EXPRESSION_FORMATS.includes(schema.format ?? '') || CALLED_EXPRESSION.test(`${name} ${schema.description ?? ''}`),
);

/** What the matcher accepts; the others are refused before anything is matched. */
const ACCEPTED = CATASTROPHES.filter((expression) => {
  try {
    return new ExtendedRegex(expression) !== undefined;
  } catch {
    return false;
  }
});
const TEXTS = ['a'.repeat(TEXT_BYTES), mixed(TEXT_BYTES)];

/** Letters a and b without any order, the same each time. */
function mixed(length: number): string {
  let seed = 12345;
  return Array.from({ length }, () => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    return (seed >>> 16) % 2 === 0 ? 'a' : 'b';
  }).join('');
}

async function firstResult(check: Check | undefined): Promise<CheckResult> {
  assert(check !== undefined);
  try {
    return await new Promise<CheckResult>((resolve, reject) => {
      check.start(resolve).catch(reject);
    });
  } finally {
    await check.stop();
  }
}

async function checkOf(type: string, element: Parameters<typeof createdChecks>[2]): Promise<readonly Check[]> {
  const { plugin } = (await import(join(ROOT, `plugins/checker-${type}/dist/src/index.js`))) as { readonly plugin: Plugin };
  return createdChecks(plugin, JSON.parse(readFileSync(join(ROOT, `plugins/checker-${type}/schemas/${type}.json`), 'utf8')), element);
}

/** errd with a real process whose command line, or name, is the text. */
async function watchProcess(attribute: 'nameregex' | 'argregex', expression: string, text: string): Promise<void> {
  const child: ChildProcess = spawn('bash', ['-c', 'exec -a "$1" sleep 1000', 'bash', text.slice(0, TEXT_BYTES)], { stdio: 'ignore' });
  try {
    const proc = { [attribute]: expression, service: false, class: 'prim', action: 'noaction', start_after: 0, atleast: 1, atmax: -1 };
    const [check] = await checkOf('errd', { polltimer: 1000, proc: [proc] });
    await firstResult(check);
  } finally {
    child.kill('SIGKILL');
  }
}

async function fetchBody(expression: string, text: string): Promise<void> {
  const server = createServer((_request, response) => response.end(text));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    const [check] = await checkOf('http', { ident: 'page', to: [{ url, body: expression }] });
    const { detail } = await firstResult(check);
    assert.doesNotMatch(detail, /refused|timeout|within/, 'the body was there');
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
}

/** The kernel's own limits: names of 255 bytes in a path of 4096. */
async function exclude(expression: string, text: string): Promise<void> {
  const { Rules } = (await import(join(ROOT, 'plugins/replication-files/dist/src/boundary/rules.js'))) as {
    readonly Rules: new (
      exclusions: readonly { readonly expression: string }[],
    ) => {
      readonly root: object;
      isExcluded(parent: object, name: Uint8Array, isDirectory: boolean): boolean;
      enter(parent: object, name: Uint8Array): object;
    };
  };
  for (const written of [expression, `!${expression}`]) {
    const rules = new Rules([{ expression: written }]);
    let place = rules.root;
    for (let at = 0; at < 4096; at += 256) place = rules.enter(place, Buffer.from(text.slice(at, at + 255)));
    rules.isExcluded(place, Buffer.from(text.slice(0, 255)), false);
  }
}

/** By whom an attribute is evaluated. */
const EVALUATED: Readonly<Record<string, (expression: string, text: string) => Promise<void>>> = {
  'errd/proc nameregex': (expression, text) => watchProcess('nameregex', expression, text),
  'errd/proc argregex': (expression, text) => watchProcess('argregex', expression, text),
  'http/to body': fetchBody,
  'rfs/replicated/notreplicated regexpath': exclude,
};

/** Made from texts of ours that are no configuration, for example the number of a mount. */
const OWN_EXPRESSIONS = ['plugins/checker-load/src/kernel-text.ts', 'plugins/replication-files/src/fuse/mount-table.ts'];

function sources(folder: string): readonly string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts') && !path.endsWith('.d.ts'))
    .map((path) => join(folder, path));
}

describe('an expression in a configuration', function () {
  this.timeout(120_000);

  it('is in the table below, whichever attribute takes it, and is marked so that the configuration refuses what has no bound', () => {
    assert.deepEqual(TAKING.map(({ name }) => name).sort(), Object.keys(EVALUATED).sort());
    for (const { name, schema } of TAKING)
      assert(EXPRESSION_FORMATS.includes(schema.format ?? ''), `${name} has no format: ${EXPRESSION_FORMATS.join(' or ')}`);
    assert(ATTRIBUTES.length > 60, 'all schemas are read');
    assert(ACCEPTED.length > 5 && ACCEPTED.length < CATASTROPHES.length, 'some are refused, the others are tried');
  });

  it('is never given to an engine that backtracks', () => {
    const packages = ['core/src', 'cli/src', 'sdk/src', ...readdirSync(join(ROOT, 'plugins')).map((name) => `plugins/${name}/src`)];
    const found = packages.flatMap(sources).filter((path) => /\bRegExp\(/.test(readFileSync(join(ROOT, path), 'utf8')));
    assert.deepEqual(found.sort(), OWN_EXPRESSIONS);
  });

  for (const [name, evaluate] of Object.entries(EVALUATED)) {
    it(`ends soon as ${name}, whatever it is and whatever it meets`, async () => {
      const costMs = async (expressions: readonly string[]): Promise<number> => {
        const before = process.cpuUsage();
        for (const expression of expressions) for (const text of TEXTS) await evaluate(expression, text);
        const { user, system } = process.cpuUsage(before);
        return (user + system) / 1000;
      };
      // A check begins with a thread of its own, and so on: on a slow machine that is more than all that is evaluated.
      const aroundMs = await costMs(ACCEPTED.map(() => 'z'));
      const allMs = await costMs(ACCEPTED);
      assert(allMs - aroundMs < COST_MS_MAX, `${allMs.toFixed(0)} ms of processor time, ${aroundMs.toFixed(0)} ms of them around`);
    });
  }

  it('ends soon on the command line of kill, and is refused there as in a configuration', async () => {
    const { readCriteria } = (await import(join(ROOT, 'cli/dist/src/commands/processes.js'))) as {
      readonly readCriteria: (words: readonly string[]) => { readonly matches: (process: object) => boolean };
    };
    const before = process.cpuUsage();
    for (const expression of CATASTROPHES) {
      if (!ACCEPTED.includes(expression)) {
        assert.throws(() => readCriteria([`-argregex=${expression}`, '-level=test']), /HF_CLI_USAGE.*is not a POSIX extended expression/);
        continue;
      }
      const { matches } = readCriteria([`-argregex=${expression}`, '-level=test']);
      for (const command of TEXTS) matches({ pid: 1, name: 'a', command });
    }
    const { user, system } = process.cpuUsage(before);
    assert((user + system) / 1000 < COST_MS_MAX);
  });

  it('of failover rules ends soon, or is refused with its place', async () => {
    const { parseExpression } = (await import(join(ROOT, 'core/dist/src/config/failover-expressions.js'))) as {
      readonly parseExpression: (piece: { text: string; line: number; column: number }) => unknown;
    };
    const texts = [
      '!',
      '(',
      '(!',
      'tcp.a == up && ',
      'tcp.a == up || (',
      'a.',
      'tcp.a == ',
      '/*',
      '/* */',
      ' ',
      '-',
      '&',
      'tcp.a == up ) ',
    ];
    const before = process.cpuUsage();
    for (const part of texts) {
      const text = part.repeat(Math.ceil(TEXT_BYTES / part.length));
      assert.throws(() => parseExpression({ text, line: 1, column: 1 }), { code: /^HF_CONFIG_RULE_/ });
    }
    const { user, system } = process.cpuUsage(before);
    assert((user + system) / 1000 < COST_MS_MAX);
  });
});
