/** Frame codec and sealing: what one side writes the other reads, and nothing else is taken for a frame. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { HEARTBEAT_PAYLOAD_BYTES_MAX } from '@holdfast/sdk';
import fc from 'fast-check';
import { Acquaintance } from '../src/wire/acquaintance.js';
import { type Body, decodeBody, decodeHeader, encodeBody, FRAME_BYTES_MAX, FRAME_BYTES_MIN, HEADER_BYTES } from '../src/wire/frame.js';
import { LinkReceiver } from '../src/wire/link-receiver.js';
import { type Direction, directionKey, keyIdOf, Sealer, unseal } from '../src/wire/sealing.js';

const clusterKey = Buffer.alloc(32, 7);
const there: Direction = { module: 'shop', from: 'north', to: 'south', link: 'default' };
const self = incarnation(2);

function incarnation(number: number): Buffer {
  const bytes = randomBytes(16);
  bytes.writeBigUInt64BE(BigInt(number));
  return bytes;
}

function sealerOf(direction: Direction, sender: Buffer, key: Uint8Array = clusterKey): Sealer {
  return new Sealer(directionKey(key, direction), keyIdOf(key), sender);
}

function receiver(acquaintance = new Acquaintance(self)): LinkReceiver {
  return new LinkReceiver(directionKey(clusterKey, there), keyIdOf(clusterKey), acquaintance);
}

function body(changes: Partial<Body> = {}): Buffer {
  return encodeBody({ goodbye: false, echo: self, agentTickAgeMs: 12, payload: Buffer.from('state'), ...changes });
}

describe('heartbeat frame', () => {
  it('gives back every body that was encoded', () => {
    const payload = fc.option(fc.uint8Array({ maxLength: HEARTBEAT_PAYLOAD_BYTES_MAX }), { nil: undefined });
    const echo = fc.uint8Array({ minLength: 16, maxLength: 16 });
    fc.assert(
      fc.property(fc.boolean(), echo, fc.nat({ max: 0xffffffff }), payload, (goodbye, echoed, agentTickAgeMs, bytes) => {
        const decoded = decodeBody(encodeBody({ goodbye, echo: Buffer.from(echoed), agentTickAgeMs, payload: bytes }));
        assert.ok(decoded);
        assert.deepEqual([decoded.goodbye, decoded.agentTickAgeMs], [goodbye, agentTickAgeMs]);
        assert.deepEqual(new Uint8Array(decoded.echo), echoed);
        assert.deepEqual(decoded.payload === undefined ? undefined : new Uint8Array(decoded.payload), bytes);
      }),
    );
  });

  it('saturates an age that does not fit', () => {
    assert.equal(decodeBody(body({ agentTickAgeMs: 1e15 }))?.agentTickAgeMs, 0xffffffff);
    assert.equal(decodeBody(body({ agentTickAgeMs: -5 }))?.agentTickAgeMs, 0);
  });

  it('never throws and never accepts bytes that are not a frame', () => {
    const frame = sealerOf(there, incarnation(1)).seal(body());
    const noise = fc.uint8Array({ maxLength: FRAME_BYTES_MAX + 100 });
    const afterHeader = noise.map((bytes) => Buffer.concat([frame.subarray(0, HEADER_BYTES), bytes]));
    fc.assert(
      fc.property(fc.oneof(noise, afterHeader), (bytes) => {
        const reception = receiver().receive(Buffer.from(bytes));
        assert.equal(reception.kind, 'refused');
        decodeBody(Buffer.from(bytes));
      }),
      { numRuns: 500 },
    );
  });

  it('refuses a frame with any byte changed, cut off or added', () => {
    const frame = sealerOf(there, incarnation(1)).seal(body());
    for (let at = 0; at < frame.length; at++) {
      const damaged = Buffer.from(frame);
      damaged[at] = (damaged[at] ?? 0) ^ 0x10;
      assert.equal(receiver().receive(damaged).kind, 'refused', `byte ${at}`);
      assert.equal(receiver().receive(frame.subarray(0, at)).kind, 'refused', `cut at ${at}`);
    }
    assert.equal(receiver().receive(Buffer.concat([frame, Buffer.alloc(1)])).kind, 'refused');
    assert.equal(receiver().receive(frame).kind, 'accepted');
  });

  it('refuses sizes out of bounds without looking further', () => {
    assert.equal(decodeHeader(Buffer.alloc(FRAME_BYTES_MIN - 1)), undefined);
    assert.equal(decodeHeader(Buffer.alloc(FRAME_BYTES_MAX + 1)), undefined);
  });

  it('refuses a well sealed body of the wrong shape', () => {
    const shapes = [
      Buffer.alloc(23, 0xff), // unknown flags, length beyond the end
      Buffer.concat([body(), Buffer.from('x')]), // longer than it says
      Buffer.concat([Buffer.alloc(21), Buffer.from([0, 1, 65])]), // a payload without its flag
    ];
    for (const shape of shapes) {
      assert.deepEqual(receiver().receive(sealerOf(there, incarnation(1)).seal(shape)), { kind: 'refused', refusal: 'malformed' });
    }
  });
});

describe('heartbeat seal', () => {
  it('opens with the key of its direction only: not for another module, node, link, nor reflected to its sender', () => {
    const others: Direction[] = [
      { ...there, module: 'mail' },
      { ...there, from: 'west' },
      { ...there, to: 'west' },
      { ...there, link: 'second' },
      { ...there, from: there.to, to: there.from },
      { ...there, module: 'shop","north' },
    ];
    for (const direction of others) {
      const frame = sealerOf(direction, incarnation(1)).seal(body());
      assert.deepEqual(receiver().receive(frame), { kind: 'refused', refusal: 'forged' });
    }
  });

  it('names a frame of another cluster key as such', () => {
    const frame = sealerOf(there, incarnation(1), Buffer.alloc(32, 8)).seal(body());
    assert.deepEqual(receiver().receive(frame), { kind: 'refused', refusal: 'foreign-key' });
  });

  it('uses another key for another incarnation, so that equal counters never share key and nonce', () => {
    const [first, second] = [incarnation(1), incarnation(1)].map((sender) => sealerOf(there, sender).seal(body()));
    assert.ok(first && second);
    assert.notDeepEqual(first.subarray(HEADER_BYTES), second.subarray(HEADER_BYTES));
    const header = decodeHeader(first);
    assert.ok(header);
    assert.equal(unseal(first, header, directionKey(clusterKey, there)), undefined);
  });

  it('counts its frames from 1', () => {
    const sealer = sealerOf(there, incarnation(1));
    assert.deepEqual(
      [1, 2, 3].map(() => decodeHeader(sealer.seal(body()))?.counter),
      [1, 2, 3],
    );
  });
});
