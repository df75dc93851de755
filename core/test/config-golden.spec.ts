import assert from 'node:assert/strict';
import fc from 'fast-check';
import { HoldfastError } from '@holdfast/sdk';
import { readFileSync, writeFileSync } from 'node:fs';
import { findOverlaps, parseCluster } from '../src/config/index.js';
import { editDistance, nearestName } from '../src/config/nearest.js';
import { fixture, mirror, parse } from './config-fixtures.js';

const GOLDEN = new URL('../../test/fixtures/config/mirror.golden.json', import.meta.url);

describe('a full mirror configuration', () => {
  const environment = { NIC: 'eth1' };

  it('becomes exactly the recorded configuration (REWRITE=1 renews it)', () => {
    const { configuration, warnings } = parse(fixture('mirror.xml'), { environment, id: 2, extraDigest: 'scripts' });
    const text = `${JSON.stringify({ configuration, warnings }, null, 2)}\n`;
    if (process.env['REWRITE'] === '1') writeFileSync(GOLDEN, text);
    assert.deepEqual(JSON.parse(text), JSON.parse(readFileSync(GOLDEN, 'utf8')));
  });

  it('expands to a file without macros that means the same', () => {
    const first = parse(fixture('mirror.xml'), { environment });
    assert.doesNotMatch(first.expandedXml, /<macro|%NIC%|%DATA%/);
    const second = parse(first.expandedXml);
    const meaning = ({ configuration: { contributed, ...rest } }: typeof first): unknown => ({
      ...rest,
      contributed: contributed.map(({ line: _line, column: _column, ...element }) => element),
    });
    assert.deepEqual(meaning(second), meaning(first));
    assert.equal(second.expandedXml, first.expandedXml);
  });

  it('has another digest for another id, script digest, macro value or attribute, and the same for another layout', () => {
    const digest = (xml: string, change: Parameters<typeof parse>[1] = {}): string =>
      parse(xml, { environment, ...change }).configuration.digest;
    const xml = fixture('mirror.xml');
    const original = digest(xml);
    assert.equal(digest(xml.replaceAll('\n', '\r\n').replace('boot="auto" boot_delay="10"', 'boot_delay="10"   boot="auto"')), original);
    const others = [
      digest(xml, { id: 9 }),
      digest(xml, { extraDigest: 'other' }),
      digest(xml, { environment: { NIC: 'eth2' } }),
      digest(xml.replace('maxloop="5"', 'maxloop="6"')),
    ];
    assert.equal(new Set([original, ...others]).size, 5);
  });
});

describe('overlapping directories of modules', () => {
  const overlaps = (...modules: string[][]): string[] =>
    findOverlaps(modules.map((directories, index) => ({ name: `m${index + 1}`, directories }))).map(
      ({ first, second, relation }) => `${first.module}:${first.directory} ${relation} ${second.module}:${second.directory}`,
    );

  it('finds equal directories in whatever spelling', () => {
    assert.deepEqual(overlaps(['/var/data/'], ['//var/./x/../data']), ['m1:/var/data same m2:/var/data']);
  });

  it('finds a directory inside another, in either order', () => {
    assert.deepEqual(overlaps(['/var/data'], ['/var/data/sub/x']), ['m1:/var/data inside m2:/var/data/sub/x']);
    assert.deepEqual(overlaps(['/var/data/sub'], ['/var/data']), ['m2:/var/data inside m1:/var/data/sub']);
    assert.deepEqual(overlaps(['/'], ['/srv']), ['m1:/ inside m2:/srv']);
  });

  it('leaves neighbours with a common beginning alone', () => {
    assert.deepEqual(overlaps(['/var/data', '/srv'], ['/var/data2', '/var/dat', '/srv.old']), []);
  });

  it('finds overlaps within one module too', () => {
    assert.deepEqual(overlaps(['/a', '/a/b']), ['m1:/a inside m1:/a/b']);
  });
});

describe('the nearest name', () => {
  it('counts a swap of neighbours as one edit', () => {
    assert.equal(editDistance('tpc', 'tcp'), 1);
    assert.equal(editDistance('', 'abc'), 3);
    assert.equal(editDistance('kitten', 'sitting'), 3);
  });

  it('is none when nothing is near', () => {
    assert.equal(nearestName('zebra', ['tcp', 'user']), undefined);
    assert.equal(nearestName('x'.repeat(10_000), ['x'.repeat(10_001)]), undefined);
  });
});

describe('garbage as configuration', () => {
  const coded = (run: () => unknown): void => {
    try {
      run();
    } catch (error) {
      if (!(error instanceof HoldfastError) || !error.code.startsWith('HF_CONFIG_')) throw error;
    }
  };
  const fragments = [
    '<safe>',
    '</safe>',
    '<service mode="mirror">',
    '</service>',
    '<heart ',
    '<heartbeat name="default"/>',
    '/>',
    '>',
    '<',
    '="',
    '"',
    '&',
    '&amp;',
  ]
    .concat([
      "'",
      '%',
      '%A%',
      '<!--',
      '-->',
      '<![CDATA[',
      ']]>',
      '<!DOCTYPE safe>',
      '<!DOCTYPE',
      '<!ENTITY',
      '<?xml',
      '?>',
      '\n',
      ' ',
      '__proto__',
      'constructor',
    ])
    .concat([
      '<tcp ident="a">',
      '<to addr="::1" port="1"/>',
      '</tcp>',
      '<check>',
      '</check>',
      '<macro name="A" value="%A%"/>',
      '\ufeff',
      '\0',
      '\ud800',
    ]);
  const soup = fc
    .array(fc.oneof(fc.constantFrom(...fragments), fc.string({ maxLength: 8, unit: 'grapheme' })), { maxLength: 40 })
    .map((parts) => parts.join(''));

  it('is refused with a coded error or read, and never anything else', () => {
    fc.assert(
      fc.property(soup, (xml) => coded(() => parse(xml))),
      { numRuns: 1500 },
    );
    fc.assert(
      fc.property(soup, (xml) => coded(() => parseCluster(xml, 'cluster.xml'))),
      { numRuns: 500 },
    );
    fc.assert(
      fc.property(soup, (xml) => coded(() => parse(mirror(xml)))),
      { numRuns: 1500 },
    );
  });

  it('is refused with a coded error when a good file is damaged anywhere', () => {
    const good = fixture('mirror.xml');
    const damage = fc.tuple(fc.nat(good.length), fc.nat(20), fc.oneof(fc.constantFrom(...fragments), fc.string({ maxLength: 4 })));
    fc.assert(
      fc.property(damage, ([at, length, text]) =>
        coded(() => parse(good.slice(0, at) + text + good.slice(at + length), { environment: { NIC: 'e' } })),
      ),
      { numRuns: 1000 },
    );
  });

  it('is refused with a coded error whatever stands in an attribute', () => {
    const value = fc.string({ maxLength: 20, unit: 'binary' }).map((text) => text.replaceAll('"', "'"));
    const name = fc.constantFrom('boot_delay', 'maxloop', 'failover', 'defaultprim', 'loop_interval', 'boot', 'automatic_reboot');
    fc.assert(
      fc.property(name, value, (attribute, text) => coded(() => parse(mirror('', ` ${attribute}="${text}"`)))),
      { numRuns: 1000 },
    );
  });
});
