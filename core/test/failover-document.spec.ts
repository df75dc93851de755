import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { HoldfastError } from '@holdfast/sdk';
import { ABSENT_RULES, AUTOMATON_RULES, CLASS_RULES, IMPLICIT_WAKEUP, labelOf } from '../src/decide/rules/built-in.js';
import { mirror, parse } from './config-fixtures.js';

const DOCUMENT = readFileSync(new URL('../../docs/failover.md', import.meta.url), 'utf8');

/** First two cells of the rows below a heading of the document. */
function table(heading: string): readonly (readonly [string, string])[] {
  const section = DOCUMENT.split('\n## ').find((part) => part.startsWith(heading)) ?? '';
  const rows = [...section.matchAll(/^\| `(.*?)` \| (supported|differs|refused|absent) \|/gm)];
  return rows.map(([, example = '', status = '']) => [example.replaceAll('\\|', '|'), status]);
}

/** The example where it belongs: as text, as an element, as attributes of <failover>. */
function written(example: string): string {
  const check = '<check><tcp ident="web"><to addr="10.0.0.1" port="80"/></tcp></check>';
  if (example.startsWith('<')) return mirror(`${check}<failover>${example}</failover>`);
  if (/^[a-z_]+="/.test(example)) return mirror(`${check}<failover ${example}/>`);
  return mirror(`${check}<failover><![CDATA[${example.replace('--Lua Rules ', '--Lua Rules\n')}]]></failover>`);
}

describe('the document about failover rules', () => {
  const forms = table('What is accepted');

  it('has examples of everything that is supported and of what is refused', () => {
    const count = (status: string): number => forms.filter(([, found]) => found === status).length;
    assert.ok(count('supported') >= 10 && count('refused') >= 6 && count('differs') >= 2, JSON.stringify(forms));
  });

  for (const [example, status] of forms) {
    it(`says truly of ${example}: ${status}`, () => {
      if (status === 'refused') assert.throws(() => parse(written(example)), HoldfastError);
      else assert.notEqual(parse(written(example)).configuration.failover, undefined);
    });
  }

  it('names every built-in rule of the code, and no other', () => {
    const named = (status: string): readonly string[] =>
      table('Built-in rules')
        .filter(([, found]) => found === status)
        .map(([name]) => name);
    const ofOne = ['tcp', 'ping', 'custom'].map((name) => labelOf(`${name}.<ident>`));
    assert.deepEqual([...named('supported')].sort(), [...CLASS_RULES, ...ofOne, labelOf('proc.<name>'), IMPLICIT_WAKEUP].sort());
    assert.deepEqual([...named('differs')].sort(), Object.keys(AUTOMATON_RULES).sort());
    assert.deepEqual([...named('absent')].sort(), Object.keys(ABSENT_RULES).sort());
  });
});
