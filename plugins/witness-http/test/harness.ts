/** A witness server of its own on the loopback network, in this process or in one that can be killed, and nodes that ask it. */
import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ElementValue, Log, RunningWitnessServer, StrongWitness, WitnessProvider, WitnessRecord } from '@holdfast/sdk';
import { plugin, witnessServer } from '../src/index.js';

const nothing = (): void => undefined;
export const silent: Log = { debug: nothing, info: nothing, warn: nothing, error: nothing };

export function provider(): WitnessProvider {
  let found: WitnessProvider | undefined;
  const refuse = (): never => assert.fail('registers a witness only');
  plugin.register({
    heartbeatTransport: refuse,
    virtualIpDriver: refuse,
    replicationBackend: refuse,
    checker: refuse,
    witness: (type, implementation) => {
      assert.equal(type, 'http');
      found = implementation;
    },
  });
  assert.ok(found);
  return found;
}

export function at(generation: string, owner: string, epoch: number): WitnessRecord {
  return { generation, owner, epoch };
}

/** One folder of a server, and the key files of its clusters. Everything is removed by `remove`. */
export class Yard {
  readonly data: string;
  readonly #undo: (() => Promise<void>)[] = [];

  private constructor(readonly root: string) {
    this.data = join(root, 'data');
  }

  static async create(...clusters: readonly string[]): Promise<Yard> {
    const yard = new Yard(await mkdtemp(join(tmpdir(), 'holdfast-witness-')));
    for (const cluster of clusters) await yard.add(cluster);
    return yard;
  }

  /** Adds the cluster, and puts its key where a node would have it. */
  async add(cluster: string): Promise<void> {
    const { key } = await witnessServer.add(this.data, cluster);
    await mkdir(this.nodeFolder(cluster), { recursive: true });
    await writeFile(this.keyFile(cluster), `${key}\n`, { mode: 0o600 });
  }

  /** The folder of configuration of that cluster's nodes. */
  nodeFolder(cluster: string): string {
    return join(this.root, 'nodes', cluster);
  }

  keyFile(cluster: string): string {
    return join(this.nodeFolder(cluster), 'witness.key');
  }

  copy(cluster: string, number: 1 | 2): string {
    return join(this.data, 'clusters', cluster, `records.${number}`);
  }

  async serve(log = silent): Promise<RunningWitnessServer> {
    const server = await witnessServer.serve({
      dataDirectory: this.data,
      listen: { host: '127.0.0.1', port: 0 },
      health: { host: '127.0.0.1', port: 0 },
      log,
    });
    this.#undo.push(() => server.close());
    return server;
  }

  async spawn(port = 0): Promise<ServerProcess> {
    const server = await ServerProcess.start(this.data, port);
    this.#undo.push(() => server.kill());
    return server;
  }

  node(port: number, cluster: string, module: string, more: ElementValue = {}): StrongWitness {
    const witness = provider().create({
      cluster,
      module,
      localNode: 'north',
      configurationDirectory: this.nodeFolder(cluster),
      configuration: { server: `127.0.0.1:${port}`, cluster, ...more },
      log: silent,
    });
    assert.ok(witness.grade === 'strong');
    this.#undo.push(() => witness.close());
    return witness;
  }

  defer(undo: () => Promise<void>): void {
    this.#undo.push(undo);
  }

  async remove(): Promise<void> {
    for (const undo of this.#undo.reverse()) await undo();
    await rm(this.root, { recursive: true, force: true });
  }
}

const SERVER_PROGRAM = fileURLToPath(new URL('server-process.js', import.meta.url));

/** A server in a process of its own. */
export class ServerProcess {
  private constructor(
    private readonly child: ChildProcess,
    readonly port: number,
  ) {}

  static async start(dataDirectory: string, port: number): Promise<ServerProcess> {
    const child = fork(SERVER_PROGRAM, [dataDirectory, String(port)], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    const [message] = (await Promise.race([once(child, 'message'), once(child, 'exit').then(([code]) => [{ exit: code as unknown }])])) as [
      { readonly port?: number },
    ];
    assert.ok(message.port !== undefined, `the server did not start: ${JSON.stringify(message)}`);
    return new ServerProcess(child, message.port);
  }

  async kill(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await ended;
  }
}

/** Asserts the code of a rejection and gives its message back. */
export async function rejection(promise: Promise<unknown>, code: string): Promise<string> {
  const error: unknown = await promise.then(
    (value) => assert.fail(`no rejection but ${JSON.stringify(value)}`),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof Error);
  assert.equal((error as Error & { readonly code?: unknown }).code, code, error.message);
  return error.message;
}

export async function until(what: string, condition: () => boolean | Promise<boolean>, limitMs = 5_000): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!(await condition())) {
    assert.ok(performance.now() < deadline, `waited for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
