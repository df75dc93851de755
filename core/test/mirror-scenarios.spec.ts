/**
 * Scenario transcripts: what operators do and what breaks, and everything that follows, as text. `REWRITE=1` writes the transcripts anew; a
 * change of them is reviewed like code.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { WatchedResource } from '../src/engine/resource-facts.js';
import { RESOURCE_VALUES, type FailoverConfiguration } from '../src/model/rules.js';
import type { SplitBrainPolicy } from '../src/model/report.js';
import { mirror, parse } from './config-fixtures.js';
import { MirrorSimulator } from './mirror-simulator.js';

const SCENARIOS = fileURLToPath(new URL('../../../test/scenarios/', import.meta.url));
const ACTIONS = ['restart', 'stopstart', 'stop', 'wait'] as const;

/** A scenario is blocks of `commands`, `----`, `transcript`, separated by empty lines; lines with # are comments. */
function rewrite(text: string): string {
  let simulator = new MirrorSimulator();
  let seen = 0;
  const watched: WatchedResource[] = [];
  const rules: string[] = [];
  return text
    .trimEnd()
    .split('\n\n')
    .map((block) => {
      const commands = block.split('\n----')[0]?.split('\n') ?? [];
      if (commands.every((line) => line.startsWith('#'))) return commands.join('\n');
      const shown: string[] = [];
      for (const line of commands) {
        if (line.startsWith('#')) continue;
        const [verb = '', ...words] = line.split(' ');
        if (verb === 'cluster') {
          const policies =
            words
              .find((word) => word.startsWith('splitbrain='))
              ?.slice('splitbrain='.length)
              .split(',') ?? [];
          const both = (setting: string): [string, string] | undefined => {
            const [first = '', second = first] =
              words
                .find((word) => word.startsWith(`${setting}=`))
                ?.slice(setting.length + 1)
                .split(',') ?? [];
            return first === '' ? undefined : [first, second];
          };
          const timeouts = both('timeout')?.map(Number) as [number, number] | undefined;
          const [witnesses, defaultPrimary] = [both('witnesses'), both('defaultprim')];
          const [one = 'manual', other = one] = policies as SplitBrainPolicy[];
          simulator = new MirrorSimulator({
            failover: !words.includes('failover=off'),
            replicated: !words.includes('replicated=off'),
            automaticReboot: words.includes('automatic_reboot=on'),
            splitBrain: [one, other],
            ...(timeouts === undefined ? {} : { heartbeatTimeoutMs: timeouts }),
            ...(witnesses === undefined ? {} : { witnesses }),
            ...(defaultPrimary === undefined ? {} : { defaultPrimary }),
            watched,
            ...(rules.length === 0 ? {} : { rules: failoverOf(rules, watched) }),
          });
          seen = 0;
        } else if (verb === 'check') {
          watched.push(checkOf(words));
        } else if (verb === 'rule') {
          rules.push(words.join(' '));
        } else {
          shown.push(...play(simulator, verb, words));
        }
      }
      const said = simulator.log.slice(seen);
      seen = simulator.log.length;
      return [...commands, '----', ...said, ...shown].join('\n');
    })
    .join('\n\n')
    .concat('\n');
}

/** `tcp.web restart pre`: a check, its own action and when it watches. */
function checkOf([resource = '', action = '', phase = 'prim']: readonly string[]): WatchedResource {
  const known = [...ACTIONS, 'noaction' as const].find((name) => name === action);
  if (known === undefined) throw new Error(`no action "${action}"`);
  return { resource, action: known, phase };
}

/** The rules as the configuration reads them, with the names of the scenario's checks. */
function failoverOf(rules: readonly string[], watched: readonly WatchedResource[]): FailoverConfiguration {
  const names = watched.map(({ resource }) => resource);
  const tcp = '<check><tcp ident="x"><to addr="10.0.0.1" port="80"/></tcp></check>';
  const { configuration } = parse(mirror(`${tcp}<failover><![CDATA[${rules.join('\n')}]]></failover>`), { resourcesOf: () => names });
  if (configuration.failover === undefined) throw new Error('no rules');
  return configuration.failover;
}

function play(simulator: MirrorSimulator, verb: string, words: readonly string[]): string[] {
  const [first = '', second = '', third = ''] = words;
  switch (verb) {
    case 'start':
      simulator.command(first, { verb: 'start', boot: false });
      return [];
    case 'stop':
      simulator.command(first, { verb: 'stop', shutdown: false });
      return [];
    case 'prim':
    case 'swap':
      simulator.command(first, { verb });
      return [];
    case 'second':
      simulator.command(first, { verb: 'second', fullsync: second === 'fullsync' });
      return [];
    case 'restart':
    case 'stopstart':
      simulator.command(first, { verb, automatic: false });
      return [];
    case 'run':
      simulator.run(Number(first));
      return [];
    case 'write':
      simulator.write();
      return [];
    case 'configure-alike':
      simulator.configureAlike();
      return [];
    case 'power-cut':
      simulator.powerCut(first);
      return [];
    case 'wipe':
      simulator.wipe(first);
      return [];
    case 'back-up':
      simulator.backUp(first);
      return [];
    case 'restore':
      simulator.restore(first);
      return [];
    case 'boot':
      simulator.boot(first);
      return [];
    case 'cut':
      simulator.cut('n1', 'n2');
      simulator.cut('n2', 'n1');
      return [];
    case 'heal':
      simulator.heal();
      return [];
    case 'drop-link':
      simulator.dropLink();
      return [];
    case 'muffle':
      simulator.muffle(first, Number(second));
      return [];
    case 'sleep':
      simulator.pause(first);
      return [];
    case 'wake':
      simulator.resume(first);
      return [];
    case 'lose-addresses':
      simulator.loseAddresses(first);
      return [];
    case 'fail':
      simulator.failScript(first, second);
      return [];
    case 'mend':
      simulator.mendScripts();
      return [];
    case 'down': {
      const action = ACTIONS.find((name) => name === third) ?? 'restart';
      simulator.resource(first, second, 'down', action);
      return [];
    }
    case 'resource': {
      const value = RESOURCE_VALUES.find((known) => known === third);
      if (value === undefined) throw new Error(`no value "${third}"`);
      simulator.verdict(first, second, value);
      return [];
    }
    case 'failover':
      simulator.suspendFailover(first, second === 'off');
      return [];
    case 'incloop':
      simulator.command(first, { verb: 'incloop', identity: second });
      return [];
    case 'resetloop':
      simulator.command(first, { verb: 'resetloop' });
      return [];
    case 'show':
      return simulator.show();
    default:
      throw new Error(`unknown scenario command "${verb}"`);
  }
}

describe('mirror scenarios', () => {
  for (const name of readdirSync(SCENARIOS).filter((file) => file.endsWith('.txt'))) {
    it(`${name.replace('.txt', '').replaceAll('-', ' ')} goes as its transcript says`, () => {
      const path = join(SCENARIOS, name);
      const text = readFileSync(path, 'utf8');
      const now = rewrite(text);
      if (process.env['REWRITE'] === '1') writeFileSync(path, now);
      else assert.equal(now, text, `${name}: the transcript changed; look at it, then REWRITE=1`);
    });
  }
});
