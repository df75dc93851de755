/** Witnesses in userconfig.xml: below <witness>, or as the <splitbrain> checker of existing files. */
import assert from 'node:assert/strict';
import type { ConfigErrorCode, ContributedSchema } from '../src/config/index.js';
import { ELEMENTS, children, element, mirror, parse, refuses } from './config-fixtures.js';

const IDENT = { type: 'string', minLength: 1 } as const;
const HTTP = element({ ident: IDENT, server: { type: 'string' } }, ['server']);
const PING = element({ ident: IDENT, to: children(element({ addr: { type: 'string' } }, ['addr']), { minItems: 1 }) }, ['to']);
const SPLITBRAIN = element({ ident: IDENT, exec: { enum: ['ping'] }, arg: { type: 'string', format: 'ip-list' } }, [
  'ident',
  'exec',
  'arg',
]);

const WITNESSES: readonly ContributedSchema[] = [
  ...ELEMENTS,
  { plugin: 'witness-http', point: 'witness', type: 'http', element: 'http', parent: 'witness', schema: HTTP },
  { plugin: 'witness-ping', point: 'witness', type: 'ping', element: 'ping', parent: 'witness', schema: PING },
  { plugin: 'witness-ping', point: 'witness', type: 'splitbrain', element: 'splitbrain', parent: 'check', schema: SPLITBRAIN },
];

const read = (content: string): ReturnType<typeof parse> => parse(mirror(content), { elements: WITNESSES });

describe('witnesses in userconfig.xml', () => {
  it('are several at once, in their order, each with its place', () => {
    const content = '<witness><http server="192.0.2.1"/>\n<ping><to addr="192.0.2.2"/></ping></witness>';
    const { contributed } = read(content).configuration;
    assert.deepEqual(contributed, [
      { point: 'witness', type: 'http', element: 'http', line: 3, column: 10, value: { server: '192.0.2.1' } },
      { point: 'witness', type: 'ping', element: 'ping', line: 4, column: 1, value: { to: [{ addr: '192.0.2.2' }] } },
    ]);
  });

  it('may be the split-brain checker of an existing file', () => {
    const { contributed } = read('<check><splitbrain ident="witness" exec="ping" arg="10.0.0.107 fd00::1"/></check>').configuration;
    const value = { ident: 'witness', exec: 'ping', arg: '10.0.0.107 fd00::1' };
    assert.deepEqual(contributed, [{ point: 'witness', type: 'splitbrain', element: 'splitbrain', line: 3, column: 8, value }]);
  });

  it('are refused with their place when an attribute is wrong', () => {
    refuses(() => read('<witness><http/></witness>'), 'HF_CONFIG_ATTRIBUTE_MISSING', '3:10', /needs the attribute server/);
    refuses(() => read('<witness><http server="a" port="1"/></witness>'), 'HF_CONFIG_ATTRIBUTE_UNKNOWN', '3:27', /port/);
    refuses(() => read('<check><splitbrain ident="w" exec="sh" arg="::1"/></check>'), 'HF_CONFIG_VALUE', '3:30', /allowed: ping/);
    const named = '<check><splitbrain ident="w" exec="ping" arg="10.0.0.1 gateway"/></check>';
    refuses(() => read(named), 'HF_CONFIG_VALUE', '3:42', /must be one or more IPv4 or IPv6 addresses, separated by blanks/);
    refuses(() => read('<witness quorum="2"/>'), 'HF_CONFIG_ATTRIBUTE_UNKNOWN', '3:10', /quorum/);
    refuses(() => read('<witness/>\n<witness/>'), 'HF_CONFIG_ELEMENT_REPEATED', '4:1', /only one <witness>/);
  });

  it('need idents of their own, whatever their kind', () => {
    const content = '<check><splitbrain ident="w" exec="ping" arg="::1"/></check>\n<witness><http ident="w" server="a"/></witness>';
    refuses(() => read(content), 'HF_CONFIG_NAME_DUPLICATE', '4:16', /"w" exists already, in line 3/);
    const checker = '<check><tcp ident="w"><to addr="::1" port="1"/></tcp></check>\n<witness><http ident="w" server="a"/></witness>';
    assert.equal(read(checker).configuration.contributed.length, 2);
  });

  it('name the plug-in to install, and where a misplaced one belongs', () => {
    const unserved = (content: string, code: ConfigErrorCode, place: string, message: RegExp): void =>
      refuses(() => parse(mirror(content)), code, place, message);
    unserved('<witness><etcd/></witness>', 'HF_CONFIG_ELEMENT_NOT_SERVED', '3:10', /witness-etcd/);
    unserved('<witness><ping/></witness>', 'HF_CONFIG_ELEMENT_NOT_SERVED', '3:10', /witness-ping/);
    unserved('<witness><etc/></witness>', 'HF_CONFIG_ELEMENT_UNKNOWN', '3:10', /did you mean <etcd>/);
    refuses(() => read('<check><ping/></check>'), 'HF_CONFIG_ELEMENT_NOT_SERVED', '3:8', /checker-ping/);
    refuses(() => read('<check><etcd/></check>'), 'HF_CONFIG_ELEMENT_MISPLACED', '3:8', /belongs inside <witness>/);
    refuses(() => read('<etcd/>'), 'HF_CONFIG_ELEMENT_MISPLACED', '3:1', /belongs inside <witness>/);
  });
});
