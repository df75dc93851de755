/** A node for tests: a plug-in instance of its own with a state directory, and sessions that remember what they received. */
import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { HeartbeatOptions, HeartbeatSession, HeartbeatTransport, Log, Plugin, ReceivedHeartbeat } from '@holdfast/sdk';
import { createPlugin } from '../src/index.js';

export const CLUSTER_KEY = Buffer.alloc(32, 7);

export async function until(what: string, condition: () => boolean, waitMs = 4000): Promise<void> {
  const deadline = Date.now() + waitMs;
  while (!condition()) {
    assert.ok(Date.now() < deadline, `waited ${waitMs} ms for: ${what}`);
    await delay(5);
  }
}

export function isRunning(pid: number): boolean {
  return existsSync(`/proc/${pid}/exe`); // a zombie has no exe link target, and counts as gone
}

export interface LogLine {
  readonly level: string;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export interface Ear {
  readonly session: HeartbeatSession;
  readonly heard: ReceivedHeartbeat[];
  readonly failures: Error[];
}

export class TestNode {
  readonly lines: LogLine[] = [];
  readonly #stateDirectory: string;
  #plugin: Plugin | undefined;
  #transport: HeartbeatTransport | undefined;

  private constructor(stateDirectory: string) {
    this.#stateDirectory = stateDirectory;
  }

  static async start(): Promise<TestNode> {
    const node = new TestNode(await mkdtemp(join(tmpdir(), 'holdfast-heartbeat-')));
    await node.restart();
    return node;
  }

  get pid(): number {
    const line = this.lines.findLast(({ message }) => message === 'heartbeat process started');
    assert.ok(line);
    return Number(line.fields['pid']);
  }

  get transport(): HeartbeatTransport {
    assert.ok(this.#transport);
    return this.#transport;
  }

  async restart(): Promise<void> {
    await this.#plugin?.stop?.();
    const note = (level: string) => (message: string, fields?: Readonly<Record<string, unknown>>) => {
      this.lines.push({ level, message, fields: fields ?? {} });
    };
    const log: Log = { debug: note('debug'), info: note('info'), warn: note('warn'), error: note('error') };
    const plugin = createPlugin();
    this.#plugin = plugin;
    const refuse = (): never => assert.fail('registers a heartbeat transport only');
    plugin.register({
      heartbeatTransport: (type, transport) => {
        assert.equal(type, 'udp');
        this.#transport = transport;
      },
      virtualIpDriver: refuse,
      replicationBackend: refuse,
      checker: refuse,
      witness: refuse,
    });
    await plugin.start?.({ log, stateDirectory: this.#stateDirectory }, new AbortController().signal);
  }

  async open(options: HeartbeatOptions): Promise<Ear> {
    const session = await this.transport.open(options);
    const ear: Ear = { session, heard: [], failures: [] };
    session.onHeartbeat((heartbeat) => ear.heard.push(heartbeat));
    session.onFailure((error) => ear.failures.push(error));
    return ear;
  }

  async stop(): Promise<void> {
    await this.#plugin?.stop?.();
    await rm(this.#stateDirectory, { recursive: true, force: true });
  }
}

export async function bindUdp(address: string, port = 0): Promise<Socket> {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject);
    socket.bind({ address, port, exclusive: true }, resolve);
  });
  return socket;
}

export async function closeUdp(socket: Socket): Promise<void> {
  await new Promise<void>((resolve) => socket.close(() => resolve()));
}

export async function freePort(): Promise<number> {
  const socket = await bindUdp('127.0.0.1');
  const { port } = socket.address();
  await closeUdp(socket);
  return port;
}

/** Options of the node at `local` whose peer is at `peer`, on one link; nodes are named by their side. */
export function optionsOf(side: 'north' | 'south', port: number, changes: Partial<HeartbeatOptions> = {}): HeartbeatOptions {
  const isNorth = side === 'north';
  const [localAddress, peerAddress] = isNorth ? ['127.0.0.1', '127.0.0.2'] : ['127.0.0.2', '127.0.0.1'];
  return {
    module: 'shop',
    localNode: side,
    peerNode: isNorth ? 'south' : 'north',
    links: [{ name: 'default', localAddress, peerAddress, port }],
    key: CLUSTER_KEY,
    pulseMs: 50,
    ...changes,
  };
}
