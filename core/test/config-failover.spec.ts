import assert from 'node:assert/strict';
import { HoldfastError } from '@holdfast/sdk';
import fc from 'fast-check';
import { CONFIG_ERRORS } from '../src/config/index.js';
import { ABSENT_RULES, AUTOMATON_RULES, CLASS_RULES, IMPLICIT_WAKEUP } from '../src/decide/rules/built-in.js';
import { writeExpression } from '../src/decide/rules/expression.js';
import { RULE_ACTIONS } from '../src/model/rules.js';
import { mirror, parse, refuses, seenCodes } from './config-fixtures.js';
import { processorMs } from './processor-time.js';

const CHECK = '<check><tcp ident="web"><to addr="10.0.0.1" port="80"/></tcp></check>';

/** The rules begin in line 4 of the file, column 1. */
function file(rules: string, attributes = ''): string {
  return mirror(`${CHECK}<failover${attributes}><![CDATA[\n${rules}]]></failover>`);
}

function rulesOf(rules: string): readonly string[] {
  const { configuration } = parse(file(rules));
  return (configuration.failover?.rules ?? []).map(({ label, when, action }) => `${label}: ${writeExpression(when)}: ${action}`);
}

describe('failover rules as expressions', () => {
  it('are read with ! && || == != and parentheses, local and remote resources and the wildcards', () => {
    const text = [
      'web_failure: if (tcp.web == down) then stopstart();',
      '// a comment, /* and another',
      'both: if (local.tcp.? != up && !(remote.tcp.* == up || tcp.web == init)) /* why */ then wait();',
      'alone: if (!cluster() && (rfs.uptodate == up)) then noaction()',
    ];
    assert.deepEqual(rulesOf(text.join('\n')), [
      'web_failure: tcp.web == down: stopstart',
      'both: tcp.? != up && !(remote.tcp.* == up || tcp.web == init): wait',
      'alone: !cluster() && rfs.uptodate == up: noaction',
    ]);
  });

  it('bind && closer than ||', () => {
    assert.deepEqual(rulesOf('a: if (tcp.web == up || tcp.web == down && cluster()) then restart();'), [
      'a: tcp.web == up || tcp.web == down && cluster(): restart',
    ]);
    assert.deepEqual(rulesOf('a: if ((tcp.web == up || tcp.web == down) && cluster()) then restart();'), [
      'a: (tcp.web == up || tcp.web == down) && cluster(): restart',
    ]);
  });

  it('know all actions', () => {
    const text = RULE_ACTIONS.map((action, index) => `r${index}: if (tcp.web == down && heart.stopstartloop == up) then ${action}();`);
    for (const rule of text) assert.equal(rulesOf(rule).length, 1);
  });

  it('take the values of the reference and have shorter ones by default', () => {
    const times = (attributes: string): readonly (number | undefined)[] => {
      const { failover } = parse(file('a: if (tcp.web == down) then stop();', attributes)).configuration;
      return [failover?.periodMs, failover?.handleTimeMs];
    };
    assert.deepEqual(times(' extends="yes" period="5000ms" handle_time="15000ms"'), [5000, 15_000]);
    assert.deepEqual(times(''), [1000, 5000]);
    refuses(() => parse(file('', ' period="5s" handle_time="1s"')), 'HF_CONFIG_CONSTRAINT', '3:92', /at least period/);
  });

  it('are part of the digest that both nodes compare', () => {
    const digest = (rules: string): string => parse(file(rules)).configuration.digest;
    assert.notEqual(digest('a: if (tcp.web == down) then stop();'), digest('a: if (tcp.web == down) then wait();'));
    assert.equal(digest('a: if (tcp.web == down) then stop();'), digest('a: if ((local.tcp.web==down)) then stop( ) ;'));
  });

  it('list what a node counts for itself and for the other', () => {
    const { failover } = parse(file('a: if (remote.tcp.* == up && tcp.web == down && rfs.uptodate == up) then swap();')).configuration;
    assert.deepEqual(failover?.local, ['rfs.uptodate', 'tcp.*', 'tcp.web']);
    assert.deepEqual(failover?.remote, ['tcp.*']);
  });
});

describe('mistakes in failover rules', () => {
  const syntax = 'HF_CONFIG_RULE_SYNTAX';
  const unknown = 'HF_CONFIG_RULE_UNKNOWN';

  it('are named with their line and column inside CDATA', () => {
    refuses(
      () => parse(file('a: if (tcp.web = down) then stop();')),
      syntax,
      '4:16',
      /"==" is expected \(or !=\) after .*but "=" was found/,
    );
    refuses(() => parse(file('a: if (tcp.web == down then stop();')), syntax, '4:24', /"\)" is expected/);
    refuses(
      () => parse(file('a: if (tcp.web == down) then stop();\n  b if (tcp.web == up) then stop();')),
      syntax,
      '5:5',
      /":" is expected/,
    );
    refuses(() => parse(file('a: if (tcp.web == down) then stop')), syntax, '4:34', /but the text ends/);
    refuses(() => parse(file('a: if (web == down) then stop();')), syntax, '4:8', /write class\.id/);
    refuses(() => parse(file('a: if (ping(1) == down) then stop();')), syntax, '4:8', /the only one is cluster\(\)/);
    refuses(() => parse(file('a: if (tcp.web == down) then stop(1);')), syntax, '4:35', /no arguments|begins nothing/);
    refuses(() => parse(file('a: if (tcp.web == down) then stop() b: if (tcp.web == up) then stop();')), syntax, '4:37', /";" is expected/);
    refuses(() => parse(mirror(`${CHECK}<failover> a: if §</failover>`)), syntax, '3:87', /"§" begins nothing/);
  });

  it('in names come with the nearest name', () => {
    refuses(() => parse(file('a: if (tcp.web == dwon) then stop();')), unknown, '4:19', /did you mean "down"/);
    refuses(() => parse(file('a: if (tcp.web == down) then stopstrat();')), unknown, '4:30', /did you mean "stopstart"/);
    refuses(() => parse(file('a: if (tpc.web == down) then stop();')), unknown, '4:8', /nobody serves the class "tpc".*did you mean "tcp"/);
    refuses(() => parse(file('a: if (connections.web == down) then stop();')), unknown, '4:8', /nobody serves/);
  });

  it('that name a resource which nobody has are warned about, because they never act', () => {
    const { warnings } = parse(file('a: if (tcp.wbe == down || proc.? == down) then stop();'));
    assert.match(warnings[0] ?? '', /:4:8: "tcp.wbe": no such resource.*did you mean "tcp.web"/);
    assert.match(warnings[1] ?? '', /:4:27: "proc.\?": no resource of this class/);
  });

  it('are labels that occur twice, and conditions with two actions', () => {
    const twice = 'a: if (tcp.web == down) then stop();\na: if (tcp.web == up) then stop();';
    refuses(() => parse(file(twice)), 'HF_CONFIG_NAME_DUPLICATE', '5:1', /first in line 4/);
    const contradiction = 'a: if (tcp.web == down) then stop();\nb: if ((local.tcp.web == down)) then restart();';
    refuses(() => parse(file(contradiction)), 'HF_CONFIG_RULE_CONTRADICTION', '5:1', /"a" in line 4 wants stop, "b" restart/);
  });

  it('are rules without end: number, length, nesting and comparisons are bounded', () => {
    const limit = 'HF_CONFIG_RULE_LIMIT';
    const rule = (index: number): string => `r${index}: if (tcp.web == down) then stop();\n`;
    refuses(() => parse(file(Array.from({ length: 201 }, (_, index) => rule(index)).join(''))), limit, '204:1', /more than 200 rules/);
    refuses(() => parse(file(`a: if (${'('.repeat(40)}tcp.web == up`)), limit, '4:41', /nested more than 32/);
    refuses(() => parse(file(`a: if (${'!'.repeat(40)}tcp.web == up`)), limit, '4:41', /nested more than 32/);
    const long = Array.from({ length: 65 }, () => 'tcp.web == up').join('||\n');
    refuses(() => parse(file(`a: if (${long}) then stop();`)), limit, '68:1', /more than 64 comparisons/);
    refuses(() => parse(file(' '.repeat(70_000) + rule(1))), limit, '3:89', /at most 65536/);
    const remote = Array.from({ length: 5 }, (_, rule) => {
      const names = Array.from({ length: 60 }, (_, index) => `remote.tcp.a${rule}-${index} == up`);
      return `r${rule}: if (${names.join(' && ')}) then stop();`;
    });
    refuses(() => parse(file(remote.join('\n'))), limit, '3:70', /300 resources of the other node; at most 256/);
  });

  it('are assignments, which existing built-in rules have', () => {
    refuses(
      () => parse(file('a: if (tcp.web == up) then rfs.uptodate = up;')),
      'HF_CONFIG_RULE_NOT_SUPPORTED',
      '4:28',
      /cannot be assigned/,
    );
    refuses(() => parse(file('rfs.uptodate = up;')), 'HF_CONFIG_RULE_NOT_SUPPORTED', '4:1', /cannot be assigned/);
  });

  it('never end in anything but coded errors, whatever is written', () => {
    const words = [
      'a',
      ':',
      'if',
      '(',
      ')',
      'then',
      'stop',
      '();',
      'tcp.web',
      '==',
      '!=',
      'down',
      '&&',
      '||',
      '!',
      'cluster',
      '--Lua Rules\n',
      'Rules',
      '=',
      '+',
      '{',
      '}',
      'if_then',
      '"x.y"',
      ',',
      'Action',
      '.',
      '/*',
      '*/',
      '\n',
      '--[[',
      ']]',
    ];
    const text = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 200 }),
      fc.array(fc.constantFrom(...words), { maxLength: 40 }).map((list) => list.join(' ')),
    );
    fc.assert(
      fc.property(text, fc.constantFrom('', '--Lua Rules\n'), (rules, head) => {
        try {
          parse(file(head + rules.replaceAll(']]>', '')));
        } catch (error) {
          assert.ok(error instanceof HoldfastError && error.code.startsWith('HF_CONFIG_'), String(error));
        }
      }),
      { numRuns: 2000 },
    );
  });

  it('are read in time that grows with their length', () => {
    const started = processorMs();
    for (const rules of [
      `/*${'*'.repeat(60_000)}`,
      `a: if (${'a.'.repeat(30_000)}`,
      '!('.repeat(30_000),
      `--Lua Rules\n--[[${']'.repeat(60_000)}`,
    ]) {
      assert.throws(() => parse(file(rules)), HoldfastError);
    }
    assert.ok(processorMs() - started < 2000, `${processorMs() - started} ms`);
  });
});

describe('failover rules as a table', () => {
  const table = (content: string): string => mirror(`${CHECK}\n<failover>${content}</failover>`);

  it('have a resource and its state, or an expression', () => {
    const { failover } = parse(
      table(
        '<rule label="web" group="checker" resource="tcp.web" state="down" action="stopstart"/>' +
          '<rule label="both" if="tcp.web == down &amp;&amp; remote.tcp.web == up" action="swap"/><disable label="t_web"/>',
      ),
    ).configuration;
    assert.deepEqual(
      failover?.rules.map(({ label, group, when, action }) => [label, group, writeExpression(when), action]),
      [
        ['web', 'checker', 'tcp.web == down', 'stopstart'],
        ['both', undefined, 'tcp.web == down && remote.tcp.web == up', 'swap'],
      ],
    );
    assert.deepEqual(failover?.disabled, ['t_web']);
  });

  it('stand alone, or as text, but not both: nothing that was written is left out', () => {
    const element = '<rule label="a" if="tcp.web == down" action="stop"/>';
    const text = 'b: if (tcp.web == up) then stop();';
    for (const both of [`${element}${text}`, `${text}${element}`])
      refuses(() => parse(table(both)), 'HF_CONFIG_TEXT', '4:1', /in one form/);
  });

  it('expand macros, and say where a mistake is', () => {
    const macro = '<macro name="STATE" value="down"/>';
    const xml = table('<rule label="a" if="tcp.web == %STATE%" action="stop"/>').replace('<safe>', `<safe>${macro}`);
    assert.equal(parse(xml).configuration.failover?.rules.length, 1);
    const place = /character 9 of the expression/;
    refuses(() => parse(table('<rule label="a" if="tcp.web ~ up" action="stop"/>')), 'HF_CONFIG_RULE_SYNTAX', '4:27', place);
    refuses(() => parse(table('<rule label="a" resource="tcp.web" action="stop"/>')), 'HF_CONFIG_CONSTRAINT', '4:11', /exactly one of/);
    refuses(() => parse(table('<rule label="a" resource="web" state="up" action="stop"/>')), 'HF_CONFIG_RULE_SYNTAX', '4:27', /class\.id/);
    refuses(
      () => parse(table('<rule label="1 a" resource="tcp.web" state="up" action="stop"/>')),
      'HF_CONFIG_RULE_SYNTAX',
      '4:17',
      /label/,
    );
  });
});

describe('failover rules that were written in Lua', () => {
  const lua = (text: string): string => file(`--Lua Rules\n${text}`);

  it('are converted where they have the documented shape', () => {
    const text = [
      '-- ours',
      'Rules = Rules + {',
      '  web_failure = if_then("tcp.web", "down", Action.stopstart),',
      "  ['web_init'] = if_then('local.tcp.web', 'init', Action.wait);",
      '  _group = "checker"',
      '}',
      'Rules.disable("t_web");',
    ];
    const { failover } = parse(lua(text.join('\n'))).configuration;
    assert.deepEqual(
      failover?.rules.map(({ label, group, when, action }) => [label, group, writeExpression(when), action]),
      [
        ['web_failure', 'checker', 'tcp.web == down', 'stopstart'],
        ['web_init', 'checker', 'tcp.web == init', 'wait'],
      ],
    );
    assert.deepEqual(failover?.disabled, ['t_web']);
  });

  it('are refused with their place where they are anything else', () => {
    const unsupported = 'HF_CONFIG_RULE_NOT_SUPPORTED';
    const instead = /not of the shape .* write the rule as <rule/;
    refuses(() => parse(lua('os.execute("rm -rf /")')), unsupported, '5:1', instead);
    refuses(() => parse(lua('function f() end')), unsupported, '5:1', instead);
    refuses(() => parse(lua('Rules = Rules + { a = when("tcp.web", "down", Action.stop) }')), unsupported, '5:23', instead);
    refuses(() => parse(lua('Rules = Rules + { a = if_then("tcp.web", "down", f.stop) }')), unsupported, '5:50', instead);
    refuses(() => parse(lua('Rules.clear()')), unsupported, '5:7', instead);
    refuses(
      () => parse(lua('Rules = { a = if_then("tcp.web", "down", Action.stop) }')),
      'HF_CONFIG_RULE_SYNTAX',
      '5:9',
      /"Rules" is expected/,
    );
    refuses(() => parse(lua('Rules = Rules + { a = if_then("tcp.web", x, Action.stop) }')), 'HF_CONFIG_RULE_SYNTAX', '5:42', /in quotes/);
    refuses(
      () => parse(lua('Rules = Rules + { a = if_then("tcp.web", "down", Action.swop) }')),
      'HF_CONFIG_RULE_UNKNOWN',
      '5:57',
      /"swap"|"stop"/,
    );
    refuses(
      () => parse(lua('Rules = Rules + { a = if_then("tcp.web" .. x, "down", Action.stop) }')),
      'HF_CONFIG_RULE_SYNTAX',
      '5:41',
      /","/,
    );
  });
});

describe('built-in failover rules', () => {
  const disable = (label: string): string => mirror(`${CHECK}\n<failover><disable label="${label}"/></failover>`);

  it('of checks can be switched off under their names', () => {
    for (const label of [...CLASS_RULES, 't_web']) assert.deepEqual(parse(disable(label)).configuration.failover?.disabled, [label]);
    refuses(() => parse(disable('t_wbe')), 'HF_CONFIG_RULE_UNKNOWN', '4:20', /did you mean "t_web"/);
  });

  it('of the automaton cannot, because they keep the data safe', () => {
    for (const label of [...Object.keys(AUTOMATON_RULES), IMPLICIT_WAKEUP]) {
      refuses(() => parse(disable(label)), 'HF_CONFIG_RULE_NOT_SUPPORTED', '4:20', /cannot be switched off/);
      const own = `${label}: if (tcp.web == down) then stop();`;
      refuses(() => parse(file(own)), 'HF_CONFIG_RULE_NOT_SUPPORTED', '4:1', /cannot be replaced/);
    }
  });

  it('that this product has no use for are said to be absent', () => {
    for (const label of Object.keys(ABSENT_RULES)) assert.match(parse(disable(label)).warnings[0] ?? '', /there is no rule/);
  });

  it('give way to a rule of the same name', () => {
    const { configuration, warnings } = parse(file('t_web: if (tcp.web == down) then wait();'));
    assert.deepEqual(configuration.failover?.disabled, ['t_web']);
    assert.match(warnings[0] ?? '', /stands for the built-in rule/);
    const both = mirror(`${CHECK}\n<failover><rule label="t_web" if="tcp.web == down" action="stop"/><disable label="t_web"/></failover>`);
    refuses(() => parse(both), 'HF_CONFIG_RULE_CONTRADICTION', '4:76', /remove one/);
  });
});

describe('the catalogue of errors in failover rules', () => {
  it('has no code that none of these tests meets', () => {
    const unseen = Object.keys(CONFIG_ERRORS).filter((code) => code.startsWith('HF_CONFIG_RULE_') && !seenCodes.has(code));
    assert.deepEqual(unseen, []);
  });
});
