/** An attacker on the network: records every datagram between two nodes, and plays them again when it hurts. */
import assert from 'node:assert/strict';
import type { Socket } from 'node:dgram';
import type { HeartbeatOptions } from '@holdfast/sdk';
import { bindUdp, closeUdp, type Ear, freePort, optionsOf, TestNode, until } from './node.js';

const TO_NORTH = '127.0.0.3';
const TO_SOUTH = '127.0.0.4';

/** Each node sends to an address of the eavesdropper, which passes everything on and keeps a copy. */
class Eavesdropper {
  readonly toNorth: Buffer[] = [];
  readonly toSouth: Buffer[] = [];
  readonly #sockets: Socket[] = [];
  readonly #port: number;
  forwarding = true;

  constructor(port: number) {
    this.#port = port;
  }

  async start(): Promise<void> {
    await this.#tap(TO_NORTH, '127.0.0.1', this.toNorth);
    await this.#tap(TO_SOUTH, '127.0.0.2', this.toSouth);
  }

  play(frames: readonly Buffer[], address: string): void {
    for (const frame of frames) this.#sockets[0]?.send(frame, this.#port, address);
  }

  async stop(): Promise<void> {
    await Promise.all(this.#sockets.map(closeUdp));
  }

  async #tap(address: string, target: string, copies: Buffer[]): Promise<void> {
    const socket = await bindUdp(address, this.#port);
    this.#sockets.push(socket);
    socket.on('message', (datagram) => {
      copies.push(datagram);
      if (this.forwarding) socket.send(datagram, this.#port, target);
    });
  }
}

describe('recorded heartbeats', function () {
  this.timeout(20_000);
  const realtime = process.env['HOLDFAST_REALTIME'];
  let north: TestNode;
  let south: TestNode;
  let port: number;
  let eavesdropper: Eavesdropper;

  before(() => {
    process.env['HOLDFAST_REALTIME'] = 'off';
  });
  after(() => {
    if (realtime === undefined) delete process.env['HOLDFAST_REALTIME'];
    else process.env['HOLDFAST_REALTIME'] = realtime;
  });
  beforeEach(async () => {
    [north, south, port] = await Promise.all([TestNode.start(), TestNode.start(), freePort()]);
    eavesdropper = new Eavesdropper(port);
    await eavesdropper.start();
  });
  afterEach(async () => {
    await Promise.all([north.stop(), south.stop(), eavesdropper.stop()]);
  });

  function through(side: 'north' | 'south'): HeartbeatOptions {
    const options = optionsOf(side, port);
    return { ...options, links: options.links.map((link) => ({ ...link, peerAddress: side === 'north' ? TO_SOUTH : TO_NORTH })) };
  }

  async function recordBoth(): Promise<[Ear, Ear]> {
    const ears = await Promise.all([north.open(through('north')), south.open(through('south'))]);
    ears[0].session.publish(Buffer.from('north'));
    ears[1].session.publish(Buffer.from('south'));
    await until('recordings', () => ears.every(({ heard }) => heard.length >= 10));
    return ears;
  }

  it('are refused by the node that heard them already', async () => {
    const [atNorth, atSouth] = await recordBoth();
    eavesdropper.forwarding = false;
    await atSouth.session.close({ goodbye: false });
    const heard = atNorth.heard.length;
    const recorded = eavesdropper.toNorth.slice(0, heard);
    // Twice: the first frames may have been sent before north was there, and are new to it the first time.
    eavesdropper.play([...recorded, ...recorded], '127.0.0.1');
    await until('the replays are refused', () => atNorth.session.rejected() >= heard);
    assert.equal(atNorth.heard.length, heard);
  });

  it('are not a living peer, nor a goodbye, for a node that restarted', async () => {
    const [, atSouth] = await recordBoth();
    await atSouth.session.close({ goodbye: true });
    await until('the goodbyes are recorded', () => eavesdropper.toNorth.length >= 3);
    await north.restart();
    const recorded = [...eavesdropper.toNorth];
    const again = await north.open(through('north'));
    again.session.publish(Buffer.from('north again'));
    eavesdropper.play(recorded, '127.0.0.1');
    eavesdropper.play(recorded, '127.0.0.1');
    await until('the second round is refused', () => again.session.rejected() >= recorded.length);
    assert.equal(again.heard.length, 0);
    const back = await south.open(through('south'));
    back.session.publish(Buffer.from('south again'));
    await until('the living peer', () => again.heard.length > 0);
    assert.equal(Buffer.from(again.heard[0]?.payload ?? []).toString(), 'south again');
  });

  it('are refused when the peer has restarted since', async () => {
    const [atNorth, atSouth] = await recordBoth();
    eavesdropper.forwarding = false;
    const count = eavesdropper.toNorth.length;
    await until('frames that north never got', () => eavesdropper.toNorth.length >= count + 5);
    const kept = eavesdropper.toNorth.slice(count);
    await atSouth.session.close({ goodbye: false });
    eavesdropper.forwarding = true;
    const back = await south.open(through('south'));
    back.session.publish(Buffer.from('south again'));
    await until('the restarted peer', () => Buffer.from(atNorth.heard.at(-1)?.payload ?? []).toString() === 'south again');
    const before = atNorth.session.rejected();
    const heard = atNorth.heard.length;
    eavesdropper.play(kept, '127.0.0.1');
    await until('the kept frames refused', () => atNorth.session.rejected() >= before + kept.length);
    assert.ok(atNorth.heard.slice(heard).every(({ payload }) => Buffer.from(payload).toString() === 'south again'));
  });
});
