/** The README of each checker says of every attribute what its schema says: that it is there, its default, and the unit of its times. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const PLUGINS = fileURLToPath(new URL('../../../plugins', import.meta.url));
const UNITS = ['d', 'h', 'm', 's', 'ms'];
const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const UNIT_WORD: Readonly<Record<string, string>> = { ms: 'milliseconds', s: 'seconds', m: 'minutes', h: 'hours', d: 'days' };

/** Defaults that depend on something else, and so are in no schema. */
const COMPUTED: Readonly<Record<string, string>> = {
  'custom timeout': '5s',
  'http to host': 'of the URL',
  'http to ca': "the system's",
  'load to cgroup': 'the machine',
  'module ident': '*name*_*addr*',
  'sql to port': '5432 or 3306',
  'sql to database': 'postgres, or none',
  'sql to query': 'SELECT 1',
  'sql to ca': "the system's",
};

interface Schema {
  readonly type?: string;
  readonly default?: string | number | boolean;
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly $ref?: string;
  readonly $defs?: Readonly<Record<string, Schema>>;
  readonly 'x-unit'?: string;
  readonly 'x-bare-unit'?: string;
}

interface Attribute {
  /** `to addr`; of the element itself, and of <proc>, `addr`. */
  readonly name: string;
  readonly schema: Schema;
  readonly isRequired: boolean;
}

function attributesOf(root: Schema, schema: Schema, prefix: string): readonly Attribute[] {
  const resolve = (found: Schema): Schema => (found.$ref === undefined ? found : (root.$defs?.[found.$ref.replace('#/$defs/', '')] ?? {}));
  const { properties = {}, required = [] } = resolve(schema);
  return Object.entries(properties).flatMap(([name, property]) => {
    const { items } = resolve(property);
    if (items !== undefined) return attributesOf(root, items, name === 'proc' ? '' : `${name} `);
    return [{ name: `${prefix}${name}`, schema: resolve(property), isRequired: required.includes(name) }];
  });
}

/** As people write it: `10s`, `on`. */
function written({ default: value, 'x-unit': unit }: Schema): string {
  if (typeof value === 'boolean') return value ? 'on' : 'off';
  if (typeof value !== 'number' || unit === undefined) return String(value ?? '');
  const shown = UNITS.find((candidate) => (value * (UNIT_MS[unit] ?? 1)) % (UNIT_MS[candidate] ?? 1) === 0) ?? unit;
  return `${(value * (UNIT_MS[unit] ?? 1)) / (UNIT_MS[shown] ?? 1)}${shown}`;
}

/** Rows of the table of attributes: each name with its default and what is said of it. */
function rowsOf(readme: string): ReadonlyMap<string, { readonly value: string; readonly text: string }> {
  const rows = new Map<string, { readonly value: string; readonly text: string }>();
  for (const line of readme.split('\n')) {
    const [, names = '', values = '', text = ''] = /^\| (`.*?`) \|(.*?)\|(.*)\|$/.exec(line) ?? [];
    if (names === '') continue;
    const found = [...names.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name);
    const prefix = found[0]?.includes(' ') === true ? `${found[0].split(' ')[0]} ` : '';
    const parts = values.trim().split(', ');
    for (const [index, name] of found.entries()) {
      const value = found.length > 1 && parts.length === found.length ? (parts[index] ?? '') : values.trim();
      rows.set(`${prefix}${name.replace(prefix, '')}`, { value, text });
    }
  }
  return rows;
}

describe('the README of', () => {
  const checkers = readdirSync(PLUGINS).filter((name) => name.startsWith('checker-'));

  for (const checker of checkers) {
    const element = checker.slice('checker-'.length);
    it(`${checker} has every attribute with its default and its unit, and no other`, () => {
      const readme = readFileSync(join(PLUGINS, checker, 'README.md'), 'utf8');
      const schema = JSON.parse(readFileSync(join(PLUGINS, checker, 'schemas', `${element}.json`), 'utf8')) as Schema;
      const rows = rowsOf(readme);
      const attributes = attributesOf(schema, schema, '');
      assert.deepEqual([...rows.keys()].sort(), attributes.map(({ name }) => name).sort());
      for (const { name, schema: attribute, isRequired } of attributes) {
        const wanted = isRequired ? 'required' : (COMPUTED[`${element} ${name}`] ?? written(attribute));
        const { value = '', text = '' } = rows.get(name) ?? {};
        assert.equal(value, wanted, `the default of ${name}`);
        const bare = attribute['x-bare-unit'];
        if (bare === undefined) continue;
        const hint = bare === 's' ? readme : text;
        assert.match(hint, new RegExp(`a bare number means ${UNIT_WORD[bare] ?? bare}`), `the unit of ${name}`);
      }
    });
  }

  it('every checker is looked at, and every default that is computed is one of theirs', () => {
    assert(checkers.length >= 11);
    const elements = checkers.map((name) => name.slice('checker-'.length));
    for (const name of Object.keys(COMPUTED)) assert(elements.includes(name.split(' ')[0] ?? ''), name);
  });
});
