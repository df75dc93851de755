/** When a node that decides has to give its virtual addresses up: the automaton itself is driven, all actions succeed but the question. */
import assert from 'node:assert/strict';
import { createMirror, durableAtFirst, step } from '../src/decide/mirror/step.js';
import type { MirrorEvent, MirrorSettings, MirrorState } from '../src/decide/mirror/types.js';
import { conflictVerdict, leaseEnd } from '../src/decide/mirror/address-lease.js';
import { addressOutlivesMs } from '../src/model/address-lifetime.js';
import { MIRROR_SETTINGS } from './mirror-fixture.js';

const TIMEOUT_MS = 2000;
const CLAIM_DELAY_MS = 300;
const SETTINGS: MirrorSettings = {
  ...MIRROR_SETTINGS,
  hasAddresses: true,
  heartbeatTimeoutMs: TIMEOUT_MS,
  witness: 'strong',
  claimDelayMs: CLAIM_DELAY_MS,
};

type Fact = MirrorEvent extends infer E ? (E extends MirrorEvent ? Omit<E, 'nowMs' | 'wallMs' | 'freshGeneration'> : never) : never;

/** A primary with its secondary, heard last at 1 ms, that goes on ticking. */
class Primary {
  state: MirrorState;
  nowMs = 0;
  question: number | undefined;
  private fresh = 0xb0;

  constructor(settings: Partial<MirrorSettings> = {}) {
    const start = { nowMs: 0, wallMs: 0 };
    const first = createMirror({ ...SETTINGS, ...settings }, durableAtFirst(true), start);
    const lineage = { current: 'a1', history: [], epoch: 1 };
    const agreement = { ...first.durable.agreement, mode: 'witness' as const, holder: 'n1', settled: true };
    this.state = {
      ...first,
      phase: 'PRIM',
      quality: 'Ready',
      addresses: 'acquired',
      addressesObserved: 'held',
      groups: ['both', 'prim'],
      durable: { ...first.durable, lineage, agreement, condition: 'uptodate', lastRole: 'primary', followed: true, started: true },
      replication: { role: 'primary', link: 'connected', inconsistent: false },
      detector: { ...first.detector, heardMs: { lan: 1 } },
    };
  }

  tell(fact: Fact): void {
    this.fresh += 1;
    const event = { ...fact, nowMs: this.nowMs, wallMs: this.nowMs, freshGeneration: this.fresh.toString(16) } as MirrorEvent;
    const { state, actions } = step(this.state, event);
    this.state = state;
    for (const { id, action } of actions) {
      if (action.kind === 'claimWitness') {
        this.question = id;
        continue;
      }
      if (action.kind === 'continueAlone')
        this.tell({ kind: 'replication', facts: { role: 'primary', link: 'none', inconsistent: false } });
      if (action.kind === 'stopReplica') this.tell({ kind: 'replication', facts: { role: 'stopped', link: 'none', inconsistent: false } });
      this.tell({ kind: 'actionDone', id });
    }
  }

  tickUntil(endMs: number, each: () => void = () => undefined): void {
    for (; this.nowMs <= endMs; this.nowMs += 50) {
      this.tell({ kind: 'tick' });
      each();
    }
  }

  linkBreaks(): void {
    this.tell({ kind: 'replication', facts: { role: 'primary', link: 'holding', inconsistent: false } });
  }
}

describe('the lease of a primary that decides', () => {
  it('ends before the secondary asks the witness, when nobody has granted that it goes on', () => {
    const primary = new Primary();
    primary.linkBreaks();
    let endedMs = 0;
    primary.tickUntil(5000, () => {
      if (endedMs === 0 && leaseEnd(primary.state) === 'undecided') endedMs = primary.state.nowMs;
    });
    assert.ok(primary.question !== undefined, 'the witness was asked');
    // The secondary may have heard one pulse (100 ms) less, and a grant that takes so long is no reason to go.
    assert.ok(endedMs >= TIMEOUT_MS + CLAIM_DELAY_MS / 3 && endedMs + 50 <= TIMEOUT_MS - 100 + CLAIM_DELAY_MS, `${endedMs} ms`);
    assert.equal(conflictVerdict(primary.state), 'stepBack');
  });

  it('holds while the other node is heard, and when the witness grants at once', () => {
    const primary = new Primary();
    primary.linkBreaks();
    const seen = new Set<string | undefined>();
    primary.tickUntil(6000, () => {
      seen.add(leaseEnd(primary.state));
      const id = primary.question;
      primary.question = undefined;
      if (id !== undefined) primary.tell({ kind: 'actionDone', id, claim: { answer: 'granted', owner: 'n1' } });
    });
    assert.equal(primary.state.phase, 'ALONE');
    assert.deepEqual([...seen], [undefined]);
    assert.equal(conflictVerdict(primary.state), 'defend');
  });

  it('is over as long as the application of a deposed or undecided primary is being stopped', () => {
    const primary = new Primary();
    primary.linkBreaks();
    primary.tickUntil(2500);
    const id = primary.question;
    assert(id !== undefined);
    // Its actions are done one by one: the sequence is looked at when it begins.
    const event = { kind: 'actionDone', id, claim: { answer: 'refused', owner: 'n2' }, nowMs: primary.nowMs } as const;
    const { state } = step(primary.state, { ...event, wallMs: 0, freshGeneration: 'ff' });
    assert.equal(state.sequence?.name, 'deposed');
    assert.equal(leaseEnd(state), 'deposed');

    const undecided = new Primary();
    undecided.linkBreaks();
    let names: readonly (readonly [string | undefined, string | undefined])[] = [];
    undecided.tickUntil(19_900);
    for (; undecided.nowMs < 24_000 && names.length === 0; undecided.nowMs += 50) {
      const clock = { nowMs: undecided.nowMs, wallMs: 0, freshGeneration: 'ff' };
      const next = step(undecided.state, { kind: 'tick', ...clock }).state;
      if (next.sequence?.leaving === true) names = [[next.sequence.name, leaseEnd(next)]];
      else undecided.tell({ kind: 'tick' });
    }
    assert.deepEqual(names, [['stopwait', 'undecided']]);
  });

  it('needs no grant without a witness, and none in an orderly stop', () => {
    const alone = new Primary({ witness: 'none' });
    alone.linkBreaks();
    alone.tickUntil(6000, () => assert.equal(leaseEnd(alone.state), undefined));
    const stopping = step(new Primary().state, {
      kind: 'operator',
      command: { verb: 'stop', shutdown: false },
      nowMs: 0,
      wallMs: 0,
      freshGeneration: 'ff',
    });
    assert.equal(stopping.state.sequence?.name, 'stop');
    assert.equal(leaseEnd(stopping.state), undefined);
  });

  it('does not let a node defend an address that slept and has not heard its peer since', () => {
    const primary = new Primary();
    primary.tell({ kind: 'tick' });
    assert.equal(conflictVerdict(primary.state), 'defend');
    primary.nowMs = 1300;
    primary.tell({ kind: 'tick' });
    assert.ok(primary.nowMs < addressOutlivesMs(TIMEOUT_MS, 100), 'its address may still be there');
    assert.equal(conflictVerdict(primary.state), 'stepBack');
  });
});
