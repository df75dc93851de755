/**
 * Transcripts of a light module: what the operator does and what its checkers say, and everything that follows, as text. `REWRITE=1` writes
 * them anew; a change of them is reviewed like code.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { refusalOf } from '../src/decide/light/commands.js';
import { createLight, LIGHT_DURABLE_AT_FIRST, stepLight } from '../src/decide/light/step.js';
import type { IssuedLightAction, LightDurable, LightEvent, LightState } from '../src/decide/light/types.js';
import type { Command } from '../src/decide/mirror/types.js';
import { renderReason } from '../src/model/reason.js';

const SCENARIOS = fileURLToPath(new URL('../../../test/scenarios/light/', import.meta.url));
const TICK_MS = 50;
const SCRIPT_MS = 20;
const ACTIONS = ['restart', 'stopstart', 'stop', 'wait'] as const;

type Fact = LightEvent extends infer E ? (E extends LightEvent ? Omit<E, 'nowMs' | 'wallMs'> : never) : never;

/** One node: time passes when told, actions complete after a known time, a power cut loses what is not durable. */
class LightPlay {
  readonly log: string[] = [];
  private nowMs = 1000;
  private disk: LightDurable = LIGHT_DURABLE_AT_FIRST;
  private state: LightState | undefined;
  private pending: { readonly atMs: number; readonly run: () => void }[] = [];
  private readonly failing = new Set<string>();

  constructor(private readonly mode: 'light' | 'farm') {
    this.boot();
  }

  play(verb: string, [first = '', second = '']: readonly string[]): void {
    switch (verb) {
      case 'start':
        return this.command({ verb, boot: false });
      case 'stop':
        return this.command({ verb, shutdown: first === 'shutdown' });
      case 'restart':
      case 'stopstart':
        return this.command({ verb, automatic: first === 'automatic' });
      case 'prim':
      case 'swap':
        return this.command({ verb });
      case 'down':
      case 'up': {
        const action = ACTIONS.find((name) => name === second) ?? 'restart';
        return this.push({ kind: 'resource', name: first, value: verb, detail: 'told so', action });
      }
      case 'fail':
        this.failing.add(first);
        return;
      case 'mend':
        this.failing.clear();
        return;
      case 'power-cut':
        this.say('power cut');
        this.state = undefined;
        this.pending = [];
        return;
      case 'boot':
        return this.boot();
      case 'run':
        return this.run(Number(first));
      case 'show': {
        const shown =
          this.state === undefined ? 'off' : `${this.state.phase} (${this.state.quality}) groups [${this.state.groups.join(' ')}]`;
        this.log.push(shown, `on disk: started ${this.disk.started}, ${this.disk.loop.count} automatic actions`);
        return;
      }
      default:
        throw new Error(`unknown scenario command "${verb}"`);
    }
  }

  private boot(): void {
    this.say('boots');
    const settings = { module: 'm', node: 'n1', mode: this.mode, maxLoop: 3, loopIntervalMs: 24 * 3600 * 1000 };
    this.state = createLight(settings, this.disk, { nowMs: this.nowMs, wallMs: this.nowMs });
    if (this.disk.started) this.command({ verb: 'start', boot: true });
  }

  private command(command: Command): void {
    if (this.state === undefined) return;
    const refusal = refusalOf(this.state, command);
    this.say(`command ${command.verb}${refusal === undefined ? '' : `: refused: ${refusal}`}`);
    if (refusal === undefined) this.push({ kind: 'operator', command });
  }

  private run(forMs: number): void {
    const end = this.nowMs + forMs;
    for (let at = this.nowMs + TICK_MS; at <= end; at += TICK_MS) {
      for (let next = this.due(at); next !== undefined; next = this.due(at)) {
        this.nowMs = Math.max(this.nowMs, next.atMs);
        next.run();
      }
      this.nowMs = at;
      this.push({ kind: 'tick' });
    }
  }

  private due(atMs: number): { readonly atMs: number; readonly run: () => void } | undefined {
    this.pending.sort((one, other) => one.atMs - other.atMs);
    return this.pending[0] !== undefined && this.pending[0].atMs <= atMs ? this.pending.shift() : undefined;
  }

  private push(fact: Fact): void {
    if (this.state === undefined) return;
    const before = this.state;
    const { state, actions, reasons } = stepLight(before, { ...fact, nowMs: this.nowMs, wallMs: this.nowMs });
    this.state = state;
    for (const why of reasons) this.say(`because: ${renderReason(why)}`);
    if (before.phase !== state.phase || before.quality !== state.quality) this.say(`${state.phase} (${state.quality})`);
    for (const issued of actions) {
      const atMs = this.nowMs + (issued.action.kind === 'script' ? SCRIPT_MS : 1);
      this.pending.push({ atMs, run: () => this.finish(issued) });
    }
  }

  private finish({ id, action }: IssuedLightAction): void {
    let error: string | undefined;
    if (action.kind === 'persist') this.disk = action.durable;
    if (action.kind === 'openTraffic' || action.kind === 'closeTraffic')
      this.say(action.kind === 'openTraffic' ? 'traffic opened' : 'traffic closed');
    if (action.kind === 'script') {
      if (!action.force) this.say(`script ${action.script} ${action.arguments.join(' ')}`);
      if (this.failing.has(action.script)) error = `${action.script} ended with status 1`;
    }
    this.push({ kind: 'actionDone', id, ...(error === undefined ? {} : { error }) });
  }

  private say(text: string): void {
    this.log.push(`${String(this.nowMs).padStart(7)} n1 ${text}`);
  }
}

/** A scenario is blocks of `commands`, `----`, `transcript`, separated by empty lines; lines with # are comments. */
function rewrite(text: string): string {
  let play = new LightPlay('light');
  let seen = 0;
  return text
    .trimEnd()
    .split('\n\n')
    .map((block) => {
      const commands = block.split('\n----')[0]?.split('\n') ?? [];
      if (commands.every((line) => line.startsWith('#'))) return commands.join('\n');
      for (const line of commands) {
        const [verb = '', ...words] = line.split(' ');
        if (verb === '#') continue;
        if (verb !== 'module') play.play(verb, words);
        else {
          play = new LightPlay(words[0] === 'farm' ? 'farm' : 'light');
          seen = 0;
        }
      }
      const said = play.log.slice(seen);
      seen = play.log.length;
      return [...commands, '----', ...said].join('\n');
    })
    .join('\n\n')
    .concat('\n');
}

describe('light scenarios', () => {
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
