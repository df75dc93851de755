/** The expressions of the configuration: what POSIX says, against JavaScript's engine where both languages agree, and bounded time. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { ExtendedRegex } from '../src/extended-regex.js';

function matches(expression: string, text: string): boolean {
  return new ExtendedRegex(expression).test(text);
}

describe('POSIX extended regular expressions', () => {
  it('match anywhere unless anchored', () => {
    assert(matches('post', '/usr/bin/postgres -D /data'));
    assert(matches('^postgres$', 'postgres'));
    assert(!matches('^postgres$', 'postgres: writer'));
    assert(matches('a|^b$|c', 'b'));
    assert(!matches('a|^b$|c', 'bb'));
    assert(matches('^$', ''));
    assert(!matches('^$', 'a'));
    assert(!matches('a$b', 'a$b'));
    assert(
      matches('^/usr/(local/)?bin/java .*-jar [^ ]+/server-[0-9.]{3,}\\.jar( |$)', '/usr/bin/java -Xmx2g -jar /opt/x/server-2.10.jar'),
    );
  });

  it('know bracket expressions and classes', () => {
    assert(matches('^[]a]+$', ']a]'));
    assert(matches('^[^]a]$', 'b'));
    assert(matches('^[a\\]$', '\\'), 'a backslash is an ordinary character in brackets');
    assert(matches('^[[:alpha:]_][[:alnum:]_-]*$', 'app_worker-2'));
    assert(!matches('[[:space:]]', 'a-b'));
    assert(matches('^[+--]$', ','));
    assert(matches('^[a-]$', '-'));
    assert(matches('^.$', '😀'), 'a character is a code point');
  });

  it('refuse what POSIX leaves undefined or does not know, with the position', () => {
    const refused = [
      '',
      'a||b',
      '()',
      '(a',
      'a)',
      '*a',
      'a**',
      'a*?',
      'a{',
      'a{x}',
      'a{2',
      'a{3,2}',
      'a{256}',
      '^*',
      '\\d',
      'a\\',
      '[a',
      '[',
      '[]',
      '[b-a]',
    ];
    for (const expression of [...refused, '[[.hyphen.]]', '[[=a=]]', '[[:nothing:]]', '[a-[:digit:]]', '(?:a)', 'a'.repeat(257)]) {
      assert.throws(() => new ExtendedRegex(expression), { name: 'ExtendedRegexError' }, expression);
    }
    assert.throws(() => new ExtendedRegex('ab\\d'), /\\d is not part of POSIX extended expressions \(character 4\)/);
    assert.throws(() => new ExtendedRegex('((a{255}){255}){255}'), /multiply/);
  });

  it('agree with the other engine wherever both languages are the same', () => {
    const atom = fc.constantFrom('a', 'b', 'c', '.', '[ab]', '[^a]', '[a-b]', '\\.');
    const { expression } = fc.letrec<{ expression: string; piece: string }>((tie) => ({
      piece: fc.oneof(
        { maxDepth: 4 },
        atom,
        fc.tuple(atom, fc.constantFrom('*', '+', '?', '{2}', '{0,2}', '{1,}')).map((parts) => parts.join('')),
        tie('expression').map((inner) => `(${inner})`),
        fc.tuple(tie('expression'), fc.constantFrom('*', '+', '?', '{2}')).map(([inner, repetition]) => `(${inner})${repetition}`),
        fc.constantFrom('^', '$'),
      ),
      expression: fc
        .array(fc.array(tie('piece'), { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 3 })
        .map((choices) => choices.map((pieces) => pieces.join('')).join('|')),
    }));
    const text = fc.array(fc.constantFrom('a', 'b', 'c', '.', 'x'), { maxLength: 12 }).map((characters) => characters.join(''));
    fc.assert(
      fc.property(expression, fc.array(text, { minLength: 4, maxLength: 8 }), (source, texts) => {
        fc.pre(source.length <= 256);
        const ours = new ExtendedRegex(source);
        const reference = new RegExp(source, 'su');
        for (const one of texts) assert.equal(ours.test(one), reference.test(one), `${source} on "${one}"`);
      }),
      { numRuns: 2000 },
    );
  });

  it('never throw anything but their own error', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...Array.from('ab[]{}()*+?|^$\\.:-,01=')) }), fc.string(), (source, text) => {
        try {
          new ExtendedRegex(source).test(text);
        } catch (error) {
          assert.equal((error as Error).name, 'ExtendedRegexError');
        }
      }),
      { numRuns: 3000 },
    );
  });

  it('are found as by the other engine in a long text that leads to another set of states with every character', async function () {
    this.timeout(60_000);
    let seed = 7;
    const letters = Array.from({ length: 3_000 }, () => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      return (seed >>> 16) % 2 === 0 ? 'a' : 'b';
    }).join('');
    const ends = ['', `c`, `a${'b'.repeat(120)}c`, `b${'b'.repeat(120)}c`, `c${letters.slice(0, 800)}`];
    // `(a|b)*` before the rest changes nothing of what is found, and would make the other engine backtrack.
    const sources = ['a(a|b){120}c', 'a(a|b){120}$', '^b?a(a|b){120}c', 'c(a|b)*$', 'a(a|b){120}(c|$)', 'a(a|b){120}d', '^(b|a){121}'];
    for (const source of sources) {
      for (const end of ends) {
        const text = `${letters}${end}`;
        const expected = new RegExp(source, 'u').test(text);
        for (const written of source.startsWith('^') ? [source] : [source, `(a|b)*${source}`]) {
          const regex = new ExtendedRegex(written);
          assert.equal(regex.test(text), expected, `${written} on …${end.slice(0, 20)}`);
          assert.equal(await regex.testInTurns(text), expected);
        }
      }
    }
  });

  it('leave turns to others on a text that is slow to read', async () => {
    let turns = 0;
    const timer = setInterval(() => (turns += 1), 0);
    let seed = 7;
    const text = Array.from({ length: 200_000 }, () => ((seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0) >>> 16) % 2).join('');
    await new ExtendedRegex('(0|1)*1(0|1){200}c').testInTurns(text);
    clearInterval(timer);
    assert(turns > 20, `${turns} turns`);
  });

  it('take bounded time on expressions that make others backtrack for ever', function () {
    this.timeout(20_000);
    const text = `${'a'.repeat(60_000)}!`;
    for (const source of ['^(a+)+$', '^(a|a)*$', '^(a*)*b$', '^a*a*a*a*a*a*b$', '^(.*)(.*)(.*)(.*)(.*)x$'])
      assert(!matches(source, text), source);
  });
});
