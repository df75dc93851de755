/** Who counts as alive: the exchange of incarnations, and recordings of every kind played to a link. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { Acquaintance } from '../src/wire/acquaintance.js';
import { encodeBody } from '../src/wire/frame.js';
import { LinkReceiver, type Reception } from '../src/wire/link-receiver.js';
import { directionKey, keyIdOf, Sealer } from '../src/wire/sealing.js';

const key = Buffer.alloc(32, 7);
const payload = Buffer.from('state');

function incarnation(number: number): Buffer {
  const bytes = randomBytes(16);
  bytes.writeBigUInt64BE(BigInt(number));
  return bytes;
}

/** One end of the links 'a' and 'b' between two nodes, without sockets. */
class End {
  readonly acquaintance: Acquaintance;
  readonly #sealers: Map<string, Sealer>;
  readonly #receivers: Map<string, LinkReceiver>;

  constructor(
    from: string,
    to: string,
    readonly self: Buffer,
  ) {
    this.acquaintance = new Acquaintance(self);
    const keyOf = (link: string, sender: string, receiver: string): Buffer =>
      directionKey(key, { module: 'shop', from: sender, to: receiver, link });
    this.#sealers = new Map(['a', 'b'].map((link) => [link, new Sealer(keyOf(link, from, to), keyIdOf(key), self)]));
    this.#receivers = new Map(['a', 'b'].map((link) => [link, new LinkReceiver(keyOf(link, to, from), keyIdOf(key), this.acquaintance)]));
  }

  frame(options: { goodbye?: boolean; link?: string; silent?: boolean } = {}): Buffer {
    const { goodbye = false, link = 'a', silent = false } = options;
    const sealer = this.#sealers.get(link);
    assert.ok(sealer);
    const body = { goodbye, echo: this.acquaintance.echo, agentTickAgeMs: 0, payload: silent ? undefined : payload };
    return sealer.seal(encodeBody(body));
  }

  hear(frame: Buffer, link = 'a'): Reception {
    const receiver = this.#receivers.get(link);
    assert.ok(receiver);
    return receiver.receive(frame);
  }
}

function north(number = 1): End {
  return new End('north', 'south', incarnation(number));
}

function south(number = 1): End {
  return new End('south', 'north', incarnation(number));
}

function becomeAcquainted(one: End, other: End): void {
  other.hear(one.frame());
  one.hear(other.frame());
  other.hear(one.frame());
}

function standing(reception: Reception): string {
  if (reception.kind === 'refused') return reception.refusal;
  const brings = reception.alive?.goodbye === true ? 'goodbye' : reception.alive === undefined ? 'nothing' : 'alive';
  return reception.answer ? `${brings}, answer` : brings;
}

describe('acquaintance of two nodes', () => {
  it('takes three datagrams, of which the second and third are signs of life', () => {
    const [a, b] = [north(), south()];
    assert.equal(standing(b.hear(a.frame())), 'nothing, answer');
    assert.equal(standing(a.hear(b.frame())), 'alive, answer');
    assert.equal(standing(b.hear(a.frame())), 'alive');
    assert.equal(standing(a.hear(b.frame())), 'alive');
  });

  it('does not hand out a frame sent before anything was published', () => {
    const [a, b] = [north(), south()];
    becomeAcquainted(a, b);
    assert.equal(standing(b.hear(a.frame({ silent: true }))), 'nothing');
  });

  it('refuses a frame that was already taken', () => {
    const [a, b] = [north(), south()];
    becomeAcquainted(a, b);
    const frame = a.frame();
    assert.equal(standing(b.hear(frame)), 'alive');
    assert.equal(standing(b.hear(frame)), 'replayed');
  });

  it('refuses a frame of one link on another', () => {
    const [a, b] = [north(), south()];
    becomeAcquainted(a, b);
    assert.equal(standing(b.hear(a.frame({ link: 'a' }), 'b')), 'forged');
    assert.equal(standing(b.hear(a.frame({ link: 'b' }), 'b')), 'alive');
  });

  it('meets a restarted peer again, and refuses what its former incarnation sent, on every link', () => {
    const [a, b] = [north(1), south()];
    becomeAcquainted(a, b);
    const recorded = ['a', 'b'].map((link) => a.frame({ link }));
    const restarted = north(2);
    assert.equal(standing(b.hear(restarted.frame())), 'nothing, answer');
    assert.equal(standing(restarted.hear(b.frame())), 'alive, answer');
    assert.equal(standing(b.hear(restarted.frame())), 'alive');
    for (const [index, frame] of recorded.entries()) assert.equal(standing(b.hear(frame, index === 0 ? 'a' : 'b')), 'outdated');
  });

  it('does not take a recording for a living peer after its own restart', () => {
    const [a, b] = [north(1), south(1)];
    becomeAcquainted(a, b);
    const recorded = [a.frame(), a.frame(), a.frame({ goodbye: true })];
    const restarted = south(2);
    assert.deepEqual(
      recorded.map((frame) => standing(restarted.hear(frame))),
      ['nothing, answer', 'nothing, answer', 'nothing'],
    );
    assert.equal(standing(restarted.hear(recorded[0] ?? Buffer.alloc(0))), 'replayed');
  });

  it('finds the living peer even though a recording of its former incarnation came first', () => {
    const [a, b] = [north(1), south(1)];
    becomeAcquainted(a, b);
    const recorded = a.frame();
    const [a2, b2] = [north(2), south(2)];
    b2.hear(recorded);
    assert.equal(standing(b2.hear(a2.frame())), 'nothing, answer');
    assert.equal(standing(a2.hear(b2.frame())), 'alive, answer');
    assert.equal(standing(b2.hear(a2.frame())), 'alive');
  });

  it('believes a goodbye once per link, and nothing that it overtook', () => {
    const [a, b] = [north(), south()];
    becomeAcquainted(a, b);
    const overtaken = a.frame();
    const farewells = [a.frame({ goodbye: true }), a.frame({ goodbye: true }), a.frame({ goodbye: true, link: 'b' })];
    assert.deepEqual(
      farewells.map((frame, index) => standing(b.hear(frame, index < 2 ? 'a' : 'b'))),
      ['goodbye', 'nothing', 'goodbye'],
    );
    assert.equal(standing(b.hear(overtaken)), 'departed');
  });

  it('hears a peer that comes back after its goodbye', () => {
    const [a, b] = [north(1), south()];
    becomeAcquainted(a, b);
    b.hear(a.frame({ goodbye: true }));
    const back = north(2);
    becomeAcquainted(back, b);
    assert.equal(standing(b.hear(back.frame())), 'alive');
  });

  it('is not changed by a forged frame that claims a newer incarnation', () => {
    const [a, b] = [north(1), south()];
    becomeAcquainted(a, b);
    const forged = a.frame();
    incarnation(99).copy(forged, 9);
    assert.equal(standing(b.hear(forged)), 'forged');
    assert.equal(standing(b.hear(a.frame())), 'alive');
  });
});
