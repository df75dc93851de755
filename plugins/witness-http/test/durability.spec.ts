/** What the witness server remembers: power cuts, damaged disks, kills at random moments, answers that get lost. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chown, mkdir, open, readFile, rename, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { type AddressInfo, type Socket, connect, createServer } from 'node:net';
import { HoldfastError, type StrongWitness, type WitnessClaim } from '@holdfast/sdk';
import { witnessServer } from '../src/index.js';
import { Yard, at, rejection, silent } from './harness.js';

const CYCLES = Number(process.env['CYCLES'] ?? 15);

describe('the records of the witness server', () => {
  let yard: Yard;

  beforeEach(async () => {
    yard = await Yard.create('site');
  });

  afterEach(() => yard.remove());

  /** Serves once, so that the record is g2 of south after g1 of north. */
  async function history(): Promise<void> {
    const server = await yard.serve();
    const witness = yard.node(server.port, 'site', 'm');
    await witness.arm(at('g1', 'north', 1));
    assert.deepEqual(await witness.claim({ from: 'g1', record: at('g2', 'south', 2) }), { outcome: 'granted' });
    await server.close();
  }

  async function recorded(): Promise<unknown> {
    const server = await yard.serve();
    const record = await yard.node(server.port, 'site', 'm').read();
    await server.close();
    return record;
  }

  it('survive a restart, and are the same in both copies', async () => {
    await history();
    assert.deepEqual(await recorded(), at('g2', 'south', 2));
    assert.equal(await readFile(yard.copy('site', 1), 'utf8'), await readFile(yard.copy('site', 2), 'utf8'));
  });

  const damages: Readonly<Record<string, (file: string) => Promise<void>>> = {
    'is cut off': (file) => truncate(file, 90),
    'is empty': (file) => truncate(file, 0),
    'is gone': (file) => rm(file),
    'has one other bit': async (file) => {
      const content = await readFile(file);
      content.writeUInt8(content.readUInt8(120) ^ 1, 120);
      await writeFile(file, content);
    },
    'holds zeros': (file) => writeFile(file, Buffer.alloc(16_384)),
    'holds random text': (file) => writeFile(file, 'x '.repeat(8_192)),
    'is a folder': async (file) => {
      await rm(file);
      await mkdir(file);
    },
    'holds a whole document of somebody else': async (file) => {
      const other = await Yard.create('site');
      try {
        const text = (await readFile(other.copy('site', 1), 'utf8')).replace('"sequence": 0', '"sequence":99');
        await writeFile(file, text);
      } finally {
        await other.remove();
      }
    },
  };

  for (const [damage, apply] of Object.entries(damages)) {
    it(`lose no grant when one copy ${damage}, whichever it is`, async () => {
      for (const copy of [1, 2] as const) {
        await history();
        await apply(yard.copy('site', copy));
        if (damage === 'is a folder') {
          // Cannot be written again either: said by name instead of going on with half of the safety.
          const message = await rejection(yard.serve(), 'HF_WITNESS_STATE');
          assert.ok(message.includes(`${yard.data}/clusters/site`), message);
          await rm(yard.copy('site', copy), { recursive: true, force: true });
          await writeFile(yard.copy('site', copy), await readFile(yard.copy('site', copy === 1 ? 2 : 1)));
        }
        assert.deepEqual(await recorded(), at('g2', 'south', 2));
        assert.deepEqual(await recorded(), at('g2', 'south', 2));
        await witnessServer.remove(yard.data, 'site');
        await yard.add('site');
      }
    });

    it(`are never taken for empty when both copies ${damage.replace(/^is /, 'are ').replace(/^h[ao][sl]\w*/, 'hold')}`, async () => {
      await history();
      await yard.add('other');
      for (const copy of [1, 2] as const) await apply(yard.copy('site', copy));
      const message = await rejection(yard.serve(), 'HF_WITNESS_STATE');
      for (const copy of [1, 2] as const) assert.ok(message.includes(yard.copy('site', copy)), message);
      assert.ok(!message.includes('clusters/other'));
      await witnessServer.remove(yard.data, 'site');
      await (await yard.serve()).close();
    });
  }

  it('are what they were before a write that was cut off in its first copy', async () => {
    const server = await yard.serve();
    const witness = yard.node(server.port, 'site', 'm');
    await witness.arm(at('g1', 'north', 1));
    const before = await readFile(yard.copy('site', 2));
    await witness.claim({ from: 'g1', record: at('g2', 'south', 2) });
    await server.close();
    // As if the power had gone while copy 1 was written: nobody had been answered.
    const file = await open(yard.copy('site', 1), 'r+');
    await file.write(Buffer.alloc(64, '\0'), 0, 64, 100);
    await file.close();
    await writeFile(yard.copy('site', 2), before);
    assert.deepEqual(await recorded(), at('g1', 'north', 1));
  });

  it('are what they became when the power went between the two copies', async () => {
    const server = await yard.serve();
    const witness = yard.node(server.port, 'site', 'm');
    await witness.arm(at('g1', 'north', 1));
    const before = await readFile(yard.copy('site', 2));
    await witness.claim({ from: 'g1', record: at('g2', 'south', 2) });
    await server.close();
    await writeFile(yard.copy('site', 2), before);
    assert.deepEqual(await recorded(), at('g2', 'south', 2));
    // The copy that was behind has been brought up to date before anything was answered.
    await truncate(yard.copy('site', 1), 10);
    assert.deepEqual(await recorded(), at('g2', 'south', 2));
  });

  it('belong to one server at a time', async () => {
    const server = await yard.serve();
    const options = { dataDirectory: yard.data, listen: { host: '127.0.0.1', port: 0 }, log: silent };
    await rejection(witnessServer.serve(options), 'HF_WITNESS_BUSY');
    await server.close();
    await (await yard.serve()).close();
  });

  it('may be added and listed beside a running server, each name once', async () => {
    const { port } = await yard.serve();
    await yard.add('late');
    await yard.node(port, 'late', 'm').arm(at('g1', 'north', 1));
    await rejection(witnessServer.add(yard.data, 'late'), 'HF_WITNESS_CLUSTER');
    const both = await Promise.allSettled([witnessServer.add(yard.data, 'twice'), witnessServer.add(yard.data, 'twice')]);
    assert.deepEqual(both.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
    for (const name of ['', '..', 'a/b', '.hidden', 'x'.repeat(64), 'a b', 'a\0'])
      await rejection(witnessServer.add(yard.data, name), 'HF_WITNESS_CLUSTER');
    const listed = await witnessServer.list(yard.data);
    assert.deepEqual(
      listed.map(({ cluster, modules }) => [cluster, modules.map(({ module, record }) => [module, record.generation])]),
      [
        ['late', [['m', 'g1']]],
        ['site', []],
        ['twice', []],
      ],
    );
    await rejection(witnessServer.remove(yard.data, 'nobody'), 'HF_WITNESS_CLUSTER');
  });

  it('belong to the owner of the folder, whoever adds a cluster', async () => {
    assert.equal(process.getuid?.(), 0);
    await chown(`${yard.data}/clusters`, 65_534, 65_534);
    await yard.add('late');
    for (const name of ['', 'key', 'records.1', 'records.2']) {
      const { uid, gid, mode } = await stat(`${yard.data}/clusters/late/${name}`);
      assert.deepEqual([uid, gid, mode & 0o077], [65_534, 65_534, 0]);
    }
  });

  it('remember across a restart when a cluster asked last', async () => {
    await history();
    const [listed] = await witnessServer.list(yard.data);
    assert.ok(listed?.lastUseAt !== undefined && Date.now() - Date.parse(listed.lastUseAt) < 60_000);
    assert.ok(Date.now() - Date.parse(listed.modules[0]?.changedAt ?? '') < 60_000);
  });

  it('stay as they are when they cannot be written, and the server says so', async () => {
    const server = await yard.serve();
    const witness = yard.node(server.port, 'site', 'm');
    await witness.arm(at('g1', 'north', 1));
    const away = `${yard.root}/away`;
    await rename(yard.copy('site', 2), away);
    const claim = { from: 'g1', record: at('g2', 'south', 2) };
    assert.match(await rejection(witness.claim(claim), 'HF_WITNESS_STATE'), /cannot write its records/);
    assert.deepEqual(await witness.read(), at('g1', 'north', 1));
    const health = await fetch(`http://127.0.0.1:${server.healthPort ?? 0}/v1/health`);
    assert.deepEqual([health.status, ((await health.json()) as { readonly status: string }).status], [503, 'degraded']);
    await rename(away, yard.copy('site', 2));
    assert.deepEqual(await witness.claim(claim), { outcome: 'granted' });
    assert.equal((await fetch(`http://127.0.0.1:${server.healthPort ?? 0}/v1/health`)).status, 200);
    await server.close();
    assert.deepEqual(await recorded(), at('g2', 'south', 2));
  });

  it('need no room on the disk for a claim', async () => {
    const server = await yard.serve();
    const witness = yard.node(server.port, 'site', 'm');
    await witness.arm(at('g1', 'north', 1));
    const { blocks, size } = await stat(yard.copy('site', 1));
    for (let epoch = 2; epoch < 40; epoch += 1) await witness.claim({ from: `g${epoch - 1}`, record: at(`g${epoch}`, 'south', epoch) });
    const after = await stat(yard.copy('site', 1));
    assert.deepEqual([after.blocks, after.size], [blocks, size]);
    assert.ok(blocks * 512 >= size);
  });

  it('hold what was granted when the answer is lost on the way, and the repeated claim gets it', async function () {
    this.timeout(60_000);
    const { port } = await yard.serve();
    const proxy = await DroppingProxy.start(port);
    yard.defer(() => proxy.close());
    const witness = yard.node(proxy.port, 'site', 'm', { timeout: 20_000 });
    const impatient = yard.node(proxy.port, 'site', 'm', { timeout: 700 });
    let carriedOut = 0;
    for (let epoch = 2; epoch < 8; epoch += 1) {
      await witness.arm(at(`g${epoch}`, 'north', epoch * 10));
      const claim = { from: `g${epoch}`, record: at(`h${epoch}`, 'south', epoch * 10 + 1) };
      proxy.drop = true;
      await rejection(impatient.claim(claim), 'HF_WITNESS_UNREACHABLE');
      proxy.drop = false;
      // On a busy machine the question itself may have come to nothing.
      const found = await witness.read();
      assert.ok([claim.from, claim.record.generation].includes(found?.generation ?? ''));
      carriedOut += found?.generation === claim.record.generation ? 1 : 0;
      assert.deepEqual(await witness.claim(claim), { outcome: 'granted' });
      const other = { from: `g${epoch}`, record: at(`i${epoch}`, 'north', epoch * 10 + 1) };
      assert.deepEqual(await witness.claim(other), { outcome: 'refused', found: claim.record });
    }
    assert.ok(carriedOut > 0, 'no question was carried out');
  });

  it(`keep every grant, and grant one per generation, through ${CYCLES} kills in the middle of claims`, async function () {
    this.timeout(20_000 + CYCLES * 3_000);
    let server = await yard.spawn();
    const { port } = server;
    const nodes = ['north', 'south'].map((owner) => ({ owner, witness: yard.node(port, 'site', 'm', { timeout: 1_000 }) }));
    const grants = new Map<string, Set<string>>();
    let generation = 'g0';
    let epoch = 1;
    await nodes[0]?.witness.arm(at(generation, 'north', epoch));
    for (let cycle = 1; cycle <= CYCLES; cycle += 1) {
      const running = server;
      const kill = new Promise((resolve) => setTimeout(resolve, Math.random() * 120)).then(() => running.kill());
      const taken: WitnessClaim[] = [];
      let killed = false;
      void kill.then(() => (killed = true));
      // Both nodes claim from what they know, again and again; whoever is granted goes on from there.
      while (!killed) {
        epoch += 1;
        const claims = nodes.map(({ owner }) => ({ from: generation, record: at(`${owner}-${cycle}-${epoch}`, owner, epoch) }));
        taken.push(...claims);
        const answers = await Promise.all(nodes.map(({ witness }, index) => attempt(witness, claims[index])));
        const won = claims.filter((_, index) => answers[index] === 'granted');
        assert.ok(won.length <= 1, `two grants from ${generation}`);
        for (const { from, record } of won) {
          grants.set(from, (grants.get(from) ?? new Set()).add(record.generation));
          generation = record.generation;
        }
      }
      await kill;
      server = await yard.spawn(port);
      const found = await nodes[0]?.witness.read();
      assert.ok(found !== undefined);
      // What was granted and answered is there, or a claim from it whose answer the kill took.
      const next = taken.find(({ from, record }) => from === generation && record.generation === found.generation);
      assert.ok(found.generation === generation || next !== undefined, `after ${generation} came ${found.generation}`);
      if (next !== undefined) {
        const [again, other] = next.record.owner === 'north' ? nodes : [...nodes].reverse();
        assert.equal(await attempt(again?.witness, next), 'granted');
        assert.equal(await attempt(other?.witness, { from: next.from, record: at('late', other?.owner ?? '', epoch + 1) }), 'refused');
        grants.set(next.from, (grants.get(next.from) ?? new Set()).add(next.record.generation));
      }
      generation = found.generation;
    }
    for (const [from, to] of grants) assert.equal(to.size, 1, `${from} led to ${[...to].join(' and ')}`);
    assert.ok(grants.size > CYCLES, `${grants.size} grants only`);
  });
});

/** undefined: no answer. */
async function attempt(witness: StrongWitness | undefined, claim: WitnessClaim | undefined): Promise<'granted' | 'refused' | undefined> {
  assert.ok(witness !== undefined && claim !== undefined);
  try {
    return (await witness.claim(claim)).outcome;
  } catch (error) {
    assert.ok(error instanceof HoldfastError && error.code === 'HF_WITNESS_UNREACHABLE', String(error));
    return undefined;
  }
}

/** Between a node and the server; on demand it lets questions pass and keeps the answers. */
class DroppingProxy {
  drop = false;
  readonly #sockets = new Set<Socket>();

  private constructor(
    private readonly server: ReturnType<typeof createServer>,
    readonly port: number,
  ) {}

  static async start(target: number): Promise<DroppingProxy> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const proxy = new DroppingProxy(server, (server.address() as AddressInfo).port);
    server.on('connection', (client: Socket) => {
      const upstream = connect({ host: '127.0.0.1', port: target });
      let handshakeBytes = 0;
      for (const socket of [client, upstream]) {
        proxy.#sockets.add(socket);
        socket.on('error', () => undefined);
        socket.once('close', () => {
          client.destroy();
          upstream.destroy();
        });
      }
      client.on('data', (piece: Buffer) => upstream.write(piece));
      upstream.on('data', (piece: Buffer) => {
        handshakeBytes += piece.length;
        // The first flight completes the handshake; the answer comes after it.
        if (!proxy.drop || handshakeBytes === piece.length) client.write(piece);
      });
    });
    return proxy;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    const closed = once(this.server, 'close');
    this.server.close();
    await closed;
  }
}
