/** Which names are excluded: the language of `notreplicated`, without any file. */
import { strict as assert } from 'node:assert';
import { Rules, type Exclusion, type Place } from '../src/boundary/rules.js';

const bytes = (name: string): Buffer => Buffer.from(name, 'utf8');

function placeOf(rules: Rules, directory: string): Place {
  return directory
    .split('/')
    .filter((name) => name !== '')
    .reduce((place, name) => rules.enter(place, bytes(name)), rules.root);
}

/** @param path ends with a slash when a directory is there */
function isExcluded(rules: Rules, path: string): boolean {
  const cut = path.lastIndexOf('/', path.length - 2) + 1;
  return rules.isExcluded(placeOf(rules, path.slice(0, cut)), bytes(path.slice(cut).replace(/\/$/, '')), path.endsWith('/'));
}

function check(exclusions: readonly Exclusion[], excluded: readonly string[], replicated: readonly string[]): void {
  const rules = new Rules(exclusions);
  for (const path of excluded) assert.equal(isExcluded(rules, path), true, `${path} is excluded`);
  for (const path of replicated) assert.equal(isExcluded(rules, path), false, `${path} is replicated`);
}

describe('exclusion rules', () => {
  it('exclude a path and everything below it, and nothing that only begins alike', () => {
    check(
      [{ path: 'cache' }, { path: 'app//data/x/' }, { path: 'été' }],
      ['cache', 'cache/', 'cache/a/b', 'app/data/x', 'app/data/x/y', 'été/a'],
      ['cache2', 'caches/a', 'a/cache', 'app', 'app/data/', 'app/data/y', 'data/x'],
    );
  });

  it('search an expression in the path, and exclude what is below a directory that matches', () => {
    check(
      [{ expression: '.*\\.tmp$' }, { expression: '^logs/[^/]*\\.(old|bak)$' }, { expression: 'a[[:digit:]]{2}/b' }],
      ['x.tmp', 'a/b/x.tmp', 'd.tmp/', 'd.tmp/deep/file', 'logs/a.old', 'logs/b.bak', 'za12/bc', 'za12/bc/d', '.tmp'],
      ['conf/config.tmp.swap', 'logs/sub/a.old', 'logs', 'x/logs/a.old', 'a1/b', 'a12', 'tmp'],
    );
  });

  it('keep only what one of the expressions after ! names, but every directory', () => {
    const only = [{ expression: '!.*\\.mdf$' }, { expression: '!.*\\.ldf$' }, { expression: '^tempdb' }];
    check(only, ['a', 'd/a.mdf.bak', 'tempdb.mdf', 'tempdb/', 'tempdb/x.mdf'], ['a.mdf', 'd/e/b.ldf', 'd/', 'd/e/']);
  });

  it('read names as UTF-8, and a byte that is none as a character of its own', () => {
    const rules = new Rules([{ expression: '^.$' }, { expression: '^[é-ü]x$' }]);
    assert.equal(isExcluded(rules, 'é'), true);
    assert.equal(isExcluded(rules, 'öx'), true);
    assert.equal(isExcluded(rules, 'ab'), false);
    assert.equal(rules.isExcluded(rules.root, Buffer.from([0xff]), false), true);
    assert.equal(rules.isExcluded(rules.root, Buffer.from([0xc3, 0xff]), false), false);
    assert.equal(rules.isExcluded(rules.root, Buffer.from([0xc3]), false), true);
    assert.equal(rules.isExcluded(rules.root, Buffer.from([0xff, 0x78]), false), false);
  });

  it('know when two directories exclude the same names', () => {
    const rules = new Rules([{ expression: '\\.tmp$' }, { path: 'app/work' }, { expression: '!^keep/' }]);
    const isSame = (one: string, other: string): boolean => placeOf(rules, one).key === placeOf(rules, other).key;
    assert.equal(isSame('a', 'b'), true);
    assert.equal(isSame('a', 'x.tm'), true);
    assert.equal(isSame('a/b/c', 'd'), true);
    assert.equal(isSame('app', 'a'), false);
    assert.equal(isSame('app/work', 'x.tmp/y'), true);
    assert.equal(isSame('keep/a', 'keep/b/c'), true);
    assert.equal(isSame('keep', 'a'), false);
  });

  it('take bounded time on an expression that makes others backtrack', () => {
    const rules = new Rules([{ expression: '^(a+)+$' }]);
    const startMs = performance.now();
    assert.equal(rules.isExcluded(rules.root, bytes(`${'a'.repeat(250)}b`), false), false);
    assert.ok(performance.now() - startMs < 1000);
  });
});
