import { HoldfastError } from '@holdfast/sdk';
import assert from 'node:assert/strict';
import { CONFIG_ERRORS, parseCluster } from '../src/config/index.js';
import { ELEMENTS, HEART, mirror, parse, problemsOf, refuses, seenCodes } from './config-fixtures.js';

describe('userconfig.xml as XML', () => {
  const malformed = 'HF_CONFIG_XML_MALFORMED';

  it('names line and column of a tag that is not closed', () => {
    refuses(() => parse('<safe>\n  <service mode="mirror">\n</safe>'), malformed, '3:1', /closing tag 'service'/i);
  });

  it('names the place of a repeated attribute, a missing quote and a missing blank', () => {
    refuses(() => parse('<safe>\n<service mode="mirror" mode="farm"/></safe>'), malformed, '2:24', /'mode' is repeated/);
    refuses(() => parse('<safe a=1/>'), malformed, '1:7', /without value/);
    refuses(() => parse('<safe>\n<service mode="mirror/></safe>'), malformed, '2:9', /open quote/);
  });

  it('refuses a comment or CDATA section that does not end', () => {
    refuses(() => parse('<safe>\n <!-- <service/></safe>'), malformed, '2:2', /comment is not closed/);
    refuses(() => parse('<safe><![CDATA[ </safe>'), malformed, '1:7', /CDATA section is not closed/);
  });

  it('refuses an empty file', () => {
    refuses(() => parse(''), malformed, '1:1', /Start tag expected/);
  });

  it('refuses two roots, also when both are empty, and text after the root', () => {
    refuses(() => parse('<safe/>\n<safe/>'), 'HF_CONFIG_ROOT', '2:1', /exactly one root/);
    problemsOf(() => parse('<safe></safe><safe></safe>')).forEach(({ code }) => assert.equal(code, 'HF_CONFIG_ROOT'));
    refuses(() => parse('<safe/> more'), 'HF_CONFIG_ROOT', '1:9', /exactly one root/);
  });

  it('accepts comments, declarations and blanks around the root', () => {
    parse(`\ufeff<?xml version="1.0"?>\r\n<!DOCTYPE safe>\r\n<!-- a -->\r\n${mirror('')}\r\n<!-- <b> -->\r\n`);
  });

  it('refuses another root element', () => {
    refuses(() => parse('\n<cluster/>'), 'HF_CONFIG_ROOT', '2:1', /<safe> is expected/);
  });

  it('refuses an internal subset, so that no entity can grow', () => {
    const bomb = '<!DOCTYPE safe [\n<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">\n]>\n<safe>&b;</safe>';
    refuses(() => parse(bomb), 'HF_CONFIG_DOCTYPE', '1:1', /<macro>/);
    refuses(() => parse('<!DOCTYPE safe SYSTEM "file:///etc/passwd"><safe/>'), 'HF_CONFIG_DOCTYPE', '1:1', /SYSTEM/);
  });

  it('refuses an entity that XML itself does not have, and a bare ampersand', () => {
    const unknown = mirror('<errd><proc name="&bomb;"/></errd>');
    refuses(() => parse(unknown), 'HF_CONFIG_ENTITY', '3:13', /&bomb; is unknown/);
    refuses(() => parse(mirror('<errd><proc name="a && b"/></errd>')), 'HF_CONFIG_ENTITY', '3:13', /write & as &amp;/);
    refuses(() => parse(mirror('<errd><proc name="a&#0;b"/></errd>')), 'HF_CONFIG_ENTITY', '3:13', /&#0;/);
  });

  it('decodes the entities of XML and character references in values', () => {
    const { configuration } = parse(mirror('<errd><proc argregex="&lt;&#65;&#x42;&gt;&amp;&quot;&apos;"/></errd>'));
    assert.equal((configuration.contributed[0]?.value['proc'] as { argregex: string }[])[0]?.argregex, '<AB>&"\'');
  });

  it('refuses < in a value and text between elements', () => {
    refuses(() => parse(mirror('<errd><proc name="a<b"/></errd>')), malformed, '3:13', /write < as &lt;/);
    refuses(() => parse(mirror('<errd>oops<proc name="a"/></errd>')), 'HF_CONFIG_TEXT', '3:1', /"oops"/);
    refuses(() => parse(mirror('<![CDATA[x]]>')), 'HF_CONFIG_TEXT', '2:1', /<service> contains the text/);
    refuses(() => parse(`<safe>x${mirror('').slice(6)}`), 'HF_CONFIG_TEXT', '1:1', /<safe> contains the text "x"/);
  });

  it('refuses more than one mebibyte without reading it', () => {
    refuses(() => parse(`<safe>${' '.repeat(1024 * 1024)}</safe>`), 'HF_CONFIG_TOO_LARGE', '1:1', /1048589 bytes/);
  });

  it('refuses very deep nesting', () => {
    problemsOf(() => parse('<safe>'.repeat(20_000) + '</safe>'.repeat(20_000)));
  });

  it('stops reading a megabyte of nonsense after 100 problems', () => {
    const xml = mirror('<x/>'.repeat(200_000));
    assert.throws(
      () => parse(xml),
      (error: HoldfastError) => error.code === 'HF_CONFIG_INVALID' && error.message.endsWith('reading stopped here'),
    );
  });

  it('keeps names that JavaScript objects have of their own apart', () => {
    for (const name of ['constructor', 'toString', 'hasOwnProperty', '__proto__']) {
      problemsOf(() => parse(mirror(`<${name}/>`)));
      refuses(() => parse(mirror(`<errd ${name}="1"><proc name="a"/></errd>`)), 'HF_CONFIG_ATTRIBUTE_UNKNOWN', '3:7', /has no attribute/);
    }
  });
});

describe('elements and attributes of userconfig.xml', () => {
  it('suggests the nearest attribute', () => {
    const xml = mirror('<check><tcp ident="a"><to addr="10.0.0.1" port="1" intervall="5s"/></tcp></check>');
    refuses(() => parse(xml), 'HF_CONFIG_ATTRIBUTE_UNKNOWN', '3:52', /"intervall"; did you mean "interval"\?/);
    refuses(() => parse(mirror('', ' maxlopo="1"')), 'HF_CONFIG_ATTRIBUTE_UNKNOWN', '2:24', /did you mean "maxloop"/);
  });

  it('suggests the nearest element and lists the known ones when nothing is near', () => {
    refuses(() => parse(mirror('<usre/>')), 'HF_CONFIG_ELEMENT_UNKNOWN', '3:1', /did you mean <user>/);
    refuses(() => parse(mirror('<check><tpc/></check>')), 'HF_CONFIG_ELEMENT_UNKNOWN', '3:8', /did you mean <tcp>/);
    refuses(
      () => parse(mirror('<zebra/>')),
      'HF_CONFIG_ELEMENT_UNKNOWN',
      '3:1',
      /known: check, errd, failover, farm, heart, rfs, user, vhost, vip, witness/,
    );
    refuses(() => parse(`<safe><services/>${mirror('').slice(6)}`), 'HF_CONFIG_ELEMENT_UNKNOWN', '1:7', /did you mean <service>/);
    refuses(
      () => parse(mirror('<errd><proc name="a"/><prox name="b"/></errd>')),
      'HF_CONFIG_ELEMENT_UNKNOWN',
      '3:23',
      /did you mean "proc"/,
    );
  });

  it('names the plug-in to install for an element that is known but not served', () => {
    const notServed = (content: string, place: string, message: RegExp): void =>
      refuses(() => parse(mirror(content), { elements: [] }), 'HF_CONFIG_ELEMENT_NOT_SERVED', place, message);
    notServed('<rfs/>', '3:1', /replication plug-in .* replication-files/);
    notServed('<check><tcp ident="a"/></check>', '3:8', /checker-tcp/);
    notServed('<check><ping/></check>', '3:8', /checker-ping/);
    notServed('<check><splitbrain/></check>', '3:8', /witness/);
    notServed('<vip><interface_list/></vip>', '3:6', /vip-arp/);
  });

  it('says where an element belongs that stands in the wrong place', () => {
    refuses(() => parse(mirror('<tcp ident="a"/>')), 'HF_CONFIG_ELEMENT_MISPLACED', '3:1', /belongs inside <check>/);
    refuses(() => parse(mirror('<check><heart/></check>')), 'HF_CONFIG_ELEMENT_MISPLACED', '3:8', /belongs inside <service>/);
    refuses(() => parse(mirror('<macro name="A" value="b"/>')), 'HF_CONFIG_ELEMENT_MISPLACED', '3:1', /belongs inside <safe>/);
  });

  it('refuses a second service, vip or replication', () => {
    const repeated = 'HF_CONFIG_ELEMENT_REPEATED';
    refuses(() => parse(mirror('<vip/>\n<vip/>')), repeated, '4:1', /only one <vip>; the first is in line 3/);
    refuses(() => parse(mirror('<rfs><replicated dir="/a"/></rfs>\n<rfs><replicated dir="/b"/></rfs>')), repeated, '4:1', /only one <rfs>/);
    refuses(() => parse(`<safe><service mode="mirror">${HEART}</service><service/></safe>`), repeated, '1:82', /only one <service>/);
    const twice = '<check><tcp ident="a"><to addr="::1" port="1"/><to addr="::1" port="2"/></tcp></check>';
    refuses(() => parse(mirror(twice)), repeated, '3:48', /at most 1 <to>/);
  });

  it('refuses a missing element or attribute', () => {
    refuses(() => parse('<safe/>'), 'HF_CONFIG_ELEMENT_MISSING', '1:1', /needs a <service>/);
    refuses(() => parse(mirror('<check><tcp ident="a"/></check>')), 'HF_CONFIG_ELEMENT_MISSING', '3:8', /at least one <to>/);
    refuses(() => parse(mirror('<rfs><replicated/></rfs>')), 'HF_CONFIG_ATTRIBUTE_MISSING', '3:6', /needs the attribute dir/);
    refuses(() => parse(`<safe><service>${HEART}</service></safe>`), 'HF_CONFIG_ATTRIBUTE_MISSING', '1:7', /needs the attribute mode/);
    refuses(() => parse(mirror('').replace('<safe>', '<safe a="1">')), 'HF_CONFIG_ATTRIBUTE_UNKNOWN', '1:7', /<safe> has no attributes/);
  });

  it('refuses two checks of the same name', () => {
    const tcp = '<tcp ident="a"><to addr="::1" port="1"/></tcp>';
    refuses(() => parse(mirror(`<check>${tcp}\n${tcp}</check>`)), 'HF_CONFIG_NAME_DUPLICATE', '4:6', /ident "a" exists already, in line 3/);
  });

  it('explains rules between attributes in one sentence', () => {
    refuses(() => parse(mirror('<errd><proc class="prim"/></errd>')), 'HF_CONFIG_CONSTRAINT', '3:7', /needs one of: name, argregex/);
    const both = '<rfs><replicated dir="/a"><notreplicated path="x" regexpath="y"/></replicated></rfs>';
    refuses(() => parse(mirror(both)), 'HF_CONFIG_CONSTRAINT', '3:27', /exactly one of: path, regexpath/);
  });

  it('refuses known settings that this release would have to ignore', () => {
    const refused = 'HF_CONFIG_NOT_SUPPORTED';
    refuses(() => parse(mirror('<rfs mountoversuffix="_x"><replicated dir="/a"/></rfs>')), refused, '3:6', /nothing is renamed/);
    const heart = (attributes: string): string =>
      `<safe><service mode="mirror"><heart><heartbeat name="default"${attributes}/></heart></service></safe>`;
    refuses(() => parse(heart(' pulse="1s"')), refused, '1:63', /set it there/);
  });

  it('reads who wins a split brain and whether the machine is booted, and warns of a reboot after which nobody starts the module', () => {
    const { service } = parse(mirror('', ' automatic_reboot="on" boot="auto" splitbrain="keep-newest"')).configuration;
    assert.deepEqual([service.automaticReboot, service.splitBrain], [true, 'keep-newest']);
    assert.equal(parse(mirror('')).configuration.service.splitBrain, 'manual');
    assert.match(parse(mirror('', ' automatic_reboot="on"')).warnings.join(), /nobody starts the module; set boot="auto"/);
  });

  it('reports all problems of a file together, in the order of the file', () => {
    const xml = mirror('<usre/>\n<errd polltimer="0.5us"><proc/></errd>\n<check><tcp ident="%X%"/></check>', ' boot="maybe"');
    const problems = problemsOf(() => parse(xml));
    assert.deepEqual(
      problems.map(({ code, line }) => `${line} ${code}`),
      [
        '2 HF_CONFIG_VALUE',
        '3 HF_CONFIG_ELEMENT_UNKNOWN',
        '4 HF_CONFIG_DURATION',
        '4 HF_CONFIG_CONSTRAINT',
        '5 HF_CONFIG_ELEMENT_MISSING',
        '5 HF_CONFIG_MACRO_UNKNOWN',
      ],
    );
    assert.throws(
      () => parse(xml),
      /HF_CONFIG_INVALID: userconfig\.xml has 6 problems:\n {2}userconfig\.xml:2:24: HF_CONFIG_VALUE: boot="maybe"/,
    );
  });
});

describe('values of userconfig.xml', () => {
  const tcp = (attributes: string): string => mirror(`<check><tcp ident="a"><to addr="::1" port="1" ${attributes}/></tcp></check>`);
  const to = (xml: string): Readonly<Record<string, unknown>> =>
    (parse(xml).configuration.contributed[0]?.value['to'] as unknown as Readonly<Record<string, unknown>>[])[0] ?? {};

  it('delivers durations in the unit of the schema, bare numbers in the usual one', () => {
    const written: readonly [string, number][] = [
      ['5', 5_000],
      ['5s', 5_000],
      ['1500ms', 1_500],
      ['2m', 120_000],
      ['1h', 3_600_000],
      ['1d', 86_400_000],
    ];
    for (const [text, ms] of written) assert.equal(to(tcp(`interval="${text}"`))['interval'], ms);
    assert.equal(to(tcp(''))['interval'], 10_000);
  });

  it('refuses a duration that rounds to 0 and one that is none', () => {
    refuses(() => parse(tcp('interval="400us"')), 'HF_CONFIG_DURATION', '3:47', /interval="400us" of <to> rounds to 0 ms/);
    refuses(() => parse(tcp('interval="1m30s"')), 'HF_CONFIG_DURATION', '3:47', /whole number with one of the units/);
    refuses(() => parse(tcp('interval="-1"')), 'HF_CONFIG_DURATION', '3:47', /whole number/);
    refuses(() => parse(tcp('interval="999999999999d"')), 'HF_CONFIG_DURATION', '3:47', /longer than/);
    refuses(() => parse(tcp('interval="50ms"')), 'HF_CONFIG_VALUE_RANGE', '3:47', /must be at least 100ms/);
  });

  it('warns when a duration is rounded', () => {
    const { warnings, configuration } = parse(mirror('<errd polltimer="1500ms"><proc name="a"/></errd>'));
    assert.deepEqual(warnings, ['userconfig.xml:3:7: polltimer="1500ms" of <errd> is rounded to 2s']);
    assert.equal(configuration.contributed[0]?.value['polltimer'], 2);
  });

  it('reads booleans as on/off, yes/no, true/false', () => {
    for (const [text, value] of [
      ['on', true],
      ['yes', true],
      ['true', true],
      ['off', false],
      ['no', false],
      ['false', false],
    ] as const) {
      assert.equal(parse(mirror('', ` failover="${text}"`)).configuration.service.failover, value);
    }
    refuses(() => parse(mirror('', ' failover="1"')), 'HF_CONFIG_VALUE', '2:24', /must be on or off/);
  });

  it('refuses values of the wrong kind, outside the list or the range', () => {
    refuses(() => parse(mirror('', ' maxloop="many"')), 'HF_CONFIG_VALUE', '2:24', /maxloop="many" of <service> must be a whole number/);
    refuses(() => parse(mirror('', ' boot="atuo"')), 'HF_CONFIG_VALUE', '2:24', /did you mean "auto"/);
    refuses(() => parse(mirror('', ' maxloop="-1"')), 'HF_CONFIG_VALUE_RANGE', '2:24', /at least 0/);
    refuses(() => parse(tcp('').replace('port="1"', 'port="65536"')), 'HF_CONFIG_VALUE_RANGE', '3:38', /at most 65535/);
    refuses(() => parse(tcp('').replace('::1', 'a b')), 'HF_CONFIG_VALUE', '3:27', /IP address or a host name/);
    refuses(() => parse(mirror('<rfs><replicated dir="data/../.."/></rfs>')), 'HF_CONFIG_VALUE', '3:18', /absolute path/);
    refuses(() => parse(mirror('<errd><proc name="sixteen-letters-"/></errd>')), 'HF_CONFIG_VALUE', '3:13', /at most 15 characters/);
    refuses(() => parse(mirror('<errd><proc argregex="("/></errd>')), 'HF_CONFIG_VALUE', '3:13', /regular expression/);
  });
});

describe('macros', () => {
  const macros = (definitions: string, value: string, environment: Record<string, string> = {}): string => {
    const xml = `<safe>${definitions}<service mode="mirror">${HEART}<user><var name="V" value="${value}"/></user></service></safe>`;
    return parse(xml, { environment }).configuration.scripts?.variables['V'] ?? '';
  };

  it('replaces %NAME%, also several in one value and inside other macros', () => {
    assert.equal(macros('<macro name="A" value="1"/><macro name="B" value="%A%2"/>', 'x%B%-%A%%A%'), 'x12-11');
  });

  it('falls back to the environment, which a macro hides', () => {
    assert.equal(macros('', '%HOME%', { HOME: '/root' }), '/root');
    assert.equal(macros('<macro name="HOME" value="/a"/>', '%HOME%', { HOME: '/root' }), '/a');
  });

  it('leaves a single percent sign alone and does not expand twice', () => {
    assert.equal(macros('', '100% of 5%'), '100% of 5%');
    assert.equal(macros('<macro name="P" value="%"/>', '%P%DATE%P%'), '%DATE%');
  });

  it('refuses an unknown macro with its place and the nearest name, once', () => {
    const xml = '<safe><macro name="PORT" value="1"/>\n<service mode="mirror" maxloop="%PROT%"/></safe>';
    const problems = problemsOf(() => parse(xml)).filter(({ code }) => code !== 'HF_CONFIG_HEART_MISSING');
    assert.deepEqual(
      problems.map(({ line, column, code }) => `${line}:${column} ${code}`),
      ['2:24 HF_CONFIG_MACRO_UNKNOWN'],
    );
    assert.match(problems[0]?.message ?? '', /%PROT% in attribute maxloop .* did you mean "PORT"/);
  });

  it('refuses a macro that refers to a later one, is defined twice, or is incomplete', () => {
    const first = (definitions: string): string =>
      problemsOf(() => macros(definitions, ''))
        .map(({ code }) => code)
        .join();
    assert.equal(first('<macro name="A" value="%B%"/><macro name="B" value="1"/>'), 'HF_CONFIG_MACRO_UNKNOWN');
    assert.equal(first('<macro name="A" value="1"/><macro name="A" value="2"/>'), 'HF_CONFIG_NAME_DUPLICATE');
    assert.equal(first('<macro name="A"/>'), 'HF_CONFIG_ATTRIBUTE_MISSING');
    assert.equal(first('<macro name="1A" value=""/>'), 'HF_CONFIG_VALUE');
    assert.equal(first('<macro name="A" val="1" value="1"/>'), 'HF_CONFIG_ATTRIBUTE_UNKNOWN');
    assert.equal(first('<macro name="A" value="1"><x/></macro>'), 'HF_CONFIG_ELEMENT_UNKNOWN');
  });

  it('stops macros that grow without end', () => {
    const doubling = Array.from({ length: 40 }, (_, n) => `<macro name="M${n + 1}" value="${`%M${n}%`.repeat(10)}"/>`).join('');
    const codes = problemsOf(() => macros(`<macro name="M0" value="0123456789"/>${doubling}`, '%M40%')).map(({ code }) => code);
    assert.deepEqual(codes, ['HF_CONFIG_MACRO_TOO_LARGE']);
    const uses = Array.from({ length: 20 }, (_, n) => `<macro name="N${n}" value="%L%"/>`).join('');
    const large = `<macro name="L" value="${'x'.repeat(60_000)}"/>${uses}`;
    assert.equal(problemsOf(() => macros(large, '')).at(-1)?.code, 'HF_CONFIG_MACRO_TOO_LARGE');
  });
});

describe('relations in userconfig.xml', () => {
  const heart = (attributes: string, beats = '<heartbeat name="default"/>'): string =>
    `<safe><service mode="mirror"><user/>\n<heart ${attributes}>${beats}</heart></service></safe>`;

  it('demands a heart with a heartbeat', () => {
    const missing = '<safe><service mode="mirror"/></safe>';
    refuses(
      () => parse(missing),
      'HF_CONFIG_HEART_MISSING',
      '1:7',
      /<heart><heartbeat name="default"\/><heartbeat name="replication"\/><\/heart>/,
    );
    refuses(() => parse(heart('', '')), 'HF_CONFIG_ELEMENT_MISSING', '2:1', /at least one <heartbeat>/);
  });

  it('demands heartbeats on networks of the cluster, each once', () => {
    const unknown = heart('', '<heartbeat name="defualt"/>');
    refuses(() => parse(unknown), 'HF_CONFIG_LAN_UNKNOWN', '2:20', /"defualt".*did you mean "default"/);
    refuses(() => parse(heart('', '<heartbeat name="zzz"/>')), 'HF_CONFIG_LAN_UNKNOWN', '2:20', /known: default, replication/);
    const twice = heart('', '<heartbeat name="default"/><heartbeat name="default" ident="b"/>');
    refuses(() => parse(twice), 'HF_CONFIG_NAME_DUPLICATE', '2:47', /has a heartbeat already/);
    const idents = heart('', '<heartbeat name="default" ident="a"/><heartbeat name="replication" ident="a"/>');
    refuses(() => parse(idents), 'HF_CONFIG_NAME_DUPLICATE', '2:76', /ident "a"/);
  });

  it('demands four pulses within the timeout, and a timeout of at least 200 ms', () => {
    refuses(
      () => parse(heart('pulse="600"')),
      'HF_CONFIG_HEART_TIMING',
      '2:8',
      /timeout 2s is less than 4 pulses of 600ms.*at least 2400ms/,
    );
    refuses(() => parse(heart('pulse="100" timeout="399"')), 'HF_CONFIG_HEART_TIMING', '2:20', /at least 400ms/);
    refuses(() => parse(heart('pulse="20" timeout="199"')), 'HF_CONFIG_VALUE_RANGE', '2:19', /at least 200ms/);
    parse(heart('pulse="100" timeout="400"'));
    parse(heart('pulse="50" timeout="200"'));
  });

  it('refuses a timeout within which a virtual address would not be gone, with the sum, unless that is accepted knowingly', () => {
    const interfaces =
      '<interface_list><interface><real_interface><virtual_addr addr="10.0.0.100"/></real_interface></interface></interface_list>';
    const moved = (attributes: string, vip = ''): string =>
      heart(attributes).replace('</heart>', `</heart><vip ${vip}>${interfaces}</vip>`);
    refuses(
      () => parse(moved('timeout="1000ms"')),
      'HF_CONFIG_ADDRESS_LEASE',
      '2:8',
      /by 1450 ms \(lifetime 1000 ms \+ 350 ms until the kernel.* \+ pulse 100 ms\).* 1000 ms after.*at least 1451ms.*overlap="accept"/,
    );
    refuses(() => parse(moved('pulse="400" timeout="1750ms"')), 'HF_CONFIG_ADDRESS_LEASE', '2:20', /by 1750 ms.*at least 1751ms/);
    assert.deepEqual(parse(moved('pulse="400" timeout="1751ms"')).warnings, []);
    assert.deepEqual(parse(moved('timeout="1451ms"')).warnings, []);
    const accepted = parse(moved('timeout="1000ms"', 'overlap="accept"')).warnings;
    assert.equal(accepted.length, 1);
    assert.match(accepted[0] ?? '', /2:8: .*both nodes would answer for it; accepted by/);
    refuses(() => parse(moved('', 'overlap="yes"')), 'HF_CONFIG_VALUE', '2:49', /accept/);
    // Nothing moves: nothing can overlap.
    assert.deepEqual(parse(heart('timeout="1000ms"')).warnings, []);
  });

  it('resets the connections of an address that leaves, unless tcpreset is off; without <vip> there is nothing to reset', () => {
    const vip = (element: string): unknown => parse(heart('').replace('</heart>', `</heart>${element}`)).configuration.vip;
    assert.deepEqual([vip('<vip/>'), vip('<vip tcpreset="off"/>'), vip('')], [{ tcpReset: true }, { tcpReset: false }, undefined]);
  });

  it('gives each module a heartbeat port of its own, and refuses that of the cluster', () => {
    assert.equal(parse(heart('')).configuration.heart?.port, 8888);
    assert.equal(parse(heart(''), { id: 3 }).configuration.heart?.port, 8890);
    refuses(() => parse(heart('port="4810"')), 'HF_CONFIG_PORT_CONFLICT', '2:8', /port of the cluster/);
    refuses(() => parse(heart('port="70000"')), 'HF_CONFIG_VALUE_RANGE', '2:8', /at most 65535/);
  });

  it('lets the replication flow over the first heartbeat, or over the one called flow', () => {
    const flows = (beats: string): boolean[] => (parse(heart('', beats)).configuration.heart?.heartbeats ?? []).map(({ flow }) => flow);
    assert.deepEqual(flows('<heartbeat name="default"/><heartbeat name="replication"/>'), [true, false]);
    assert.deepEqual(flows('<heartbeat name="default"/><heartbeat name="replication" ident="flow"/>'), [false, true]);
  });

  it('demands that defaultprim is alone, lastprim or a node', () => {
    for (const name of ['alone', 'lastprim', 'node2']) parse(mirror('', ` defaultprim="${name}"`));
    refuses(() => parse(mirror('', ' defaultprim="nod2"')), 'HF_CONFIG_NODE_UNKNOWN', '2:24', /did you mean "node2"/);
  });

  it('demands exactly two nodes', () => {
    const nodes = [1, 2, 3].map((n) => `<node name="node${n}" addr="10.0.0.${n}"/>`).join('');
    const cluster = parseCluster(`<cluster><lans><lan name="default">${nodes}</lan></lans></cluster>`, 'cluster.xml');
    refuses(() => parse(mirror(''), { cluster }), 'HF_CONFIG_MIRROR_NODES', '2:1', /exactly 2 nodes, but cluster\.xml has 3/);
  });

  it('refuses names and ids that cannot become folders and ports', () => {
    for (const name of ['', '../x', 'a b', 'ä']) refuses(() => parse(mirror(''), { name }), 'HF_CONFIG_MODULE_NAME', '1:1', /module name/);
    for (const id of [0, 1.5, 801, Number.NaN]) refuses(() => parse(mirror(''), { id }), 'HF_CONFIG_MODULE_ID', '1:1', /from 1 to 800/);
  });

  it('refuses the same variable twice, bad names, and those of the product', () => {
    const user = (vars: string): string => `<safe><service mode="mirror">${HEART}\n<user>${vars}</user></service></safe>`;
    const twice = user('<var name="A" value="1"/><var name="A" value="2"/>');
    refuses(() => parse(twice), 'HF_CONFIG_NAME_DUPLICATE', '2:37', /given twice/);
    refuses(() => parse(user('<var name="A-B" value="1"/>')), 'HF_CONFIG_VALUE', '2:12', /letters, digits and _/);
    refuses(() => parse(user('<var name="HOLDFAST_NODE" value="1"/>')), 'HF_CONFIG_VALUE', '2:12', /HOLDFAST_/);
    refuses(() => parse(user('<var name="SAFEMODULE" value="1"/>')), 'HF_CONFIG_VALUE', '2:12', /SAFE names/);
  });

  it('warns when no script will run, and when flow carries nothing', () => {
    const xml = '<safe><service mode="mirror"><heart>\n<heartbeat name="default" ident="flow"/></heart></service></safe>';
    assert.deepEqual(parse(xml).warnings, [
      'userconfig.xml:2:1: ident="flow" chooses the network of the replication, but nothing is replicated',
      'userconfig.xml:1:30: there is no <user>: no script of this module will run',
    ]);
  });

  it('points at the attribute that a plug-in refuses although its schema accepts it', () => {
    const details = { pointer: '/proc/1', attribute: 'name' };
    const refusalOf = (): HoldfastError => new HoldfastError('HF_ERRD_LIMITS', 'atleast and atmax cannot both hold', details);
    const xml = mirror('<errd>\n<proc name="a"/>\n<proc name="b"/></errd>');
    refuses(() => parse(xml, { refusalOf }), 'HF_CONFIG_REFUSED', '5:7', /HF_ERRD_LIMITS: atleast and atmax/);
    const elsewhere = (): HoldfastError => new HoldfastError('HF_ERRD_LIMITS', 'something', {});
    refuses(() => parse(xml, { refusalOf: elsewhere }), 'HF_CONFIG_REFUSED', '3:1', /something/);
  });

  it('blames the plug-in for a schema that cannot be used', () => {
    const broken = ELEMENTS.map((contribution) => ({ ...contribution, schema: { type: 'object', unknownWord: 1 } }));
    refuses(
      () => parse(mirror('<errd/>'), { elements: broken }),
      'HF_CONFIG_SCHEMA',
      '3:1',
      /plug-in "checker-errd" cannot check <errd>.*unknownWord/,
    );
  });
});

describe('the catalogue of configuration errors', () => {
  it('has no code that none of these tests meets, except those of cluster.xml and of rules', () => {
    const ofCluster = /^HF_CONFIG_(ADDRESS|LAN_NODES|LAN_COMMAND|RULE_)/;
    const unseen = Object.keys(CONFIG_ERRORS).filter((code) => !ofCluster.test(code) && !seenCodes.has(code));
    assert.deepEqual(unseen, []);
  });
});
