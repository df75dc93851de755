/**
 * Scenario transcripts: what operators do and what breaks, and everything that follows, as text. `REWRITE=1` writes the transcripts anew; a
 * change of them is reviewed like code.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MirrorSimulator } from './mirror-simulator.js';

const SCENARIOS = fileURLToPath(new URL('../../../test/scenarios/', import.meta.url));
const ACTIONS = ['restart', 'stopstart', 'stop', 'wait'] as const;

/** A scenario is blocks of `commands`, `----`, `transcript`, separated by empty lines; lines with # are comments. */
function rewrite(text: string): string {
  let simulator = new MirrorSimulator();
  let seen = 0;
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
          simulator = new MirrorSimulator({ failover: !words.includes('failover=off'), replicated: !words.includes('replicated=off') });
          seen = 0;
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
    case 'power-cut':
      simulator.powerCut(first);
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
