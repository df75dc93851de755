/** The `rfs` element with the schema that the replication of files really has: what existing files contain, and what is refused. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { ContributedSchema, ParsedModule } from '../src/config/index.js';
import { mirror, parse, refuses } from './config-fixtures.js';

const RFS: ContributedSchema = {
  plugin: 'replication-files',
  point: 'replicationBackend',
  type: 'files',
  element: 'rfs',
  parent: 'service',
  schema: JSON.parse(
    readFileSync(new URL('../../../plugins/replication-files/schemas/rfs.json', import.meta.url), 'utf8'),
  ) as ContributedSchema['schema'],
};
const read = (xml: string): ParsedModule => parse(mirror(xml), { elements: [RFS] });
const inDirectory = (xml: string): string => `<rfs><replicated dir="/d">${xml}</replicated></rfs>`;

describe('the rfs element of userconfig.xml', () => {
  it('says what is excluded, what must be there, and that the secondary is read-only', () => {
    const children = '<tocheck path="db/v"/><notreplicated path="a b/c"/><notreplicated regexpath="!.*[.]mdf$"/>';
    const { configuration, warnings } = read(`<rfs><replicated dir="/d" mode="read_only">${children}</replicated></rfs>`);
    assert.deepEqual(configuration.contributed[0]?.value['replicated'], [
      {
        dir: '/d',
        mode: 'read_only',
        tocheck: [{ path: 'db/v' }],
        notreplicated: [{ path: 'a b/c' }, { regexpath: '!.*[.]mdf$' }],
      },
    ]);
    assert.deepEqual(warnings, []);
  });

  it('names the character at which an expression goes wrong', () => {
    const value = 'HF_CONFIG_VALUE';
    refuses(
      () => read(inDirectory('<notreplicated regexpath="a(b"/>')),
      value,
      '3:42',
      /not a POSIX extended regular.*not closed.*character 3/,
    );
    refuses(() => read(inDirectory('<notreplicated regexpath="(a)\\1"/>')), value, '3:42', /\\1 is not part of POSIX extended expressions/);
    refuses(() => read(inDirectory('<notreplicated regexpath="!"/>')), value, '3:42', /matches everything/);
  });

  it('refuses a path that leaves the directory, and an exclusion that is both or nothing', () => {
    for (const path of ['/a', '..', 'a/../b', './a', 'a/..', '.']) {
      refuses(() => read(inDirectory(`<notreplicated path="${path}"/>`)), 'HF_CONFIG_VALUE', '3:42', /does not leave it/);
      refuses(() => read(inDirectory(`<tocheck path="${path}"/>`)), 'HF_CONFIG_VALUE', '3:36', /does not leave it/);
    }
    for (const path of ['a', 'a/b', '..a', 'a..', '.a/b.', '...']) read(inDirectory(`<notreplicated path="${path}"/>`));
    const constraint = /needs exactly one of: path, regexpath/;
    refuses(() => read(inDirectory('<notreplicated path="a" regexpath="b"/>')), 'HF_CONFIG_CONSTRAINT', '3:27', constraint);
    refuses(() => read(inDirectory('<notreplicated/>')), 'HF_CONFIG_CONSTRAINT', '3:27', constraint);
  });

  it('loads what existing files tune, and says that it has no effect here', () => {
    const tuned = 'nbrei="6" reitimeout="150s" packetsize="32768" reipacketsize="8388608" namespacepolicy="4" checktime="220000ms"';
    const { configuration, warnings } = read(`<rfs async="none" acl="off" ${tuned}>\n<flow name="lan"/><replicated dir="/d"/></rfs>`);
    assert.equal(warnings.length, 7);
    assert.match(warnings[0] ?? '', /userconfig.xml:3:\d+: attribute nbrei of <rfs> has no effect here: a resync keeps many requests/);
    assert.match(warnings[6] ?? '', /:4:1: <flow> inside <rfs> has no effect here/);
    const value = configuration.contributed[0]?.value ?? {};
    assert.deepEqual([value['async'], value['nbrei'], value['flow']], ['none', undefined, undefined]);
  });

  it('still refuses what would be missing', () => {
    const refused = 'HF_CONFIG_NOT_SUPPORTED';
    refuses(() => read('<rfs scripts="on"><replicated dir="/d"/></rfs>'), refused, '3:6', /no _rfs_ callbacks/);
    refuses(() => read('<rfs nbreii="6"><replicated dir="/d"/></rfs>'), 'HF_CONFIG_ATTRIBUTE_UNKNOWN', '3:6', /did you mean "nbrei"/);
    refuses(() => read('<rfs><replicated dir="/d" mode="read_write"/></rfs>'), 'HF_CONFIG_VALUE', '3:27', /read_only/);
  });
});
