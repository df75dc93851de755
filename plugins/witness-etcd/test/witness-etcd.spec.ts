/** The witness over real etcd: one member, three members of which some die, certificates, users. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmod, writeFile } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, type Socket, connect, createServer } from 'node:net';
import { join } from 'node:path';
import { HoldfastError, type StrongWitness, type WitnessRecord } from '@holdfast/sdk';
import { strongWitnessCases } from '@holdfast/sdk/testkit';
import { EtcdCluster, witnessOf } from './etcd-cluster.js';

const FAULTS = Array.from({ length: Number(process.env['CYCLES'] ?? 2) }, (_, index) => (index % 2 === 0 ? 'kill' : 'pause'));

const at = (generation: string, owner: string, epoch: number): WitnessRecord => ({ generation, owner, epoch });

async function rejection(promise: Promise<unknown>, code: string): Promise<string> {
  const error: unknown = await promise.then(
    (value) => assert.fail(`no rejection but ${JSON.stringify(value)}`),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof HoldfastError, String(error));
  assert.equal(error.code, code, error.message);
  return error.message;
}

describe('the etcd witness', function () {
  this.timeout(60_000);

  describe('over one member, as every strong witness,', () => {
    let etcd: EtcdCluster;
    before(async () => {
      etcd = await EtcdCluster.start(1);
    });
    after(() => etcd.remove());

    const cases = strongWitnessCases({
      open: (module) => witnessOf({ endpoints: etcd.endpoints, timeout: 20_000 }, module),
      raceWidth: 50,
      races: 3,
    });
    for (const { title, run } of cases) it(title, run);

    const open = (module: string): StrongWitness => witnessOf({ endpoints: etcd.endpoints, timeout: 50_000 }, module);
    const crowd = strongWitnessCases({ open, raceWidth: 1_000, races: 1 });
    for (const { title, run } of crowd.filter(({ title }) => title.includes('claims at once'))) it(title, run);
  });

  describe('over one member', () => {
    let etcd: EtcdCluster;
    const open: StrongWitness[] = [];
    const witness = (...options: Parameters<typeof witnessOf>): StrongWitness => {
      const made = witnessOf(...options);
      open.push(made);
      return made;
    };

    before(async () => {
      etcd = await EtcdCluster.start(1);
    });
    afterEach(async () => {
      for (const each of open.splice(0)) await each.close();
    });
    after(() => etcd.remove());

    it('keeps its record where an operator finds it, as text', async () => {
      await witness({ endpoints: etcd.endpoints }, 'data base').arm(at('g1', 'north', 1));
      await witness({ endpoints: etcd.endpoints, prefix: '/ha', cluster: 'plant-7' }, 'db').arm(at('g1', 'north', 1));
      assert.equal(
        (await etcd.ctl('get', '/holdfast/site/data%20base', '--print-value-only')).stdout,
        '{"generation":"g1","owner":"north","epoch":1}\n',
      );
      assert.equal(
        (await etcd.ctl('get', '/ha/plant-7/db', '--print-value-only')).stdout,
        '{"generation":"g1","owner":"north","epoch":1}\n',
      );
    });

    it('grants nothing over a key that is not its own, and says which', async () => {
      await etcd.ctl('put', '/holdfast/site/foreign', 'hello');
      const foreign = witness({ endpoints: etcd.endpoints }, 'foreign');
      assert.match(await rejection(foreign.read(), 'HF_WITNESS_STATE'), /\/holdfast\/site\/foreign .* "hello"/);
      await rejection(foreign.arm(at('g1', 'north', 1)), 'HF_WITNESS_STATE');
      await rejection(foreign.claim({ from: 'hello', record: at('g2', 'north', 2) }), 'HF_WITNESS_STATE');
      assert.equal((await etcd.ctl('get', '/holdfast/site/foreign', '--print-value-only')).stdout, 'hello\n');
    });

    it('grants again what was granted while the answer was lost', async () => {
      const proxy = await DroppingProxy.start(Number(new URL(etcd.endpoint(0)).port));
      try {
        const direct = witness({ endpoints: etcd.endpoints }, 'lost');
        const south = witness({ endpoints: `http://127.0.0.1:${proxy.port}`, timeout: 500 }, 'lost');
        await direct.arm(at('g1', 'north', 1));
        const claim = { from: 'g1', record: at('g2', 'south', 2) };
        proxy.dropAfter = 'request_put';
        await rejection(south.claim(claim), 'HF_WITNESS_UNREACHABLE');
        proxy.dropAfter = undefined;
        assert.deepEqual(await direct.read(), claim.record);
        assert.deepEqual(await south.claim(claim), { outcome: 'granted' });
        assert.deepEqual(await direct.claim({ from: 'g1', record: at('g3', 'north', 2) }), { outcome: 'refused', found: claim.record });
      } finally {
        await proxy.close();
      }
    });

    it('is unreachable where nothing listens, and no witness where something else does', async () => {
      const web = createHttpServer((_request, response) => response.end('{}'));
      web.listen(0, '127.0.0.1');
      await once(web, 'listening');
      try {
        const { port } = web.address() as AddressInfo;
        await rejection(witness({ endpoints: `http://127.0.0.1:${port}` }).read(), 'HF_WITNESS_PROTOCOL');
        await rejection(
          witness({ endpoints: `http://127.0.0.1:${port}` }).claim({ from: 'a', record: at('b', 'c', 1) }),
          'HF_WITNESS_PROTOCOL',
        );
        await rejection(witness({ endpoints: `https://127.0.0.1:${port}` }).read(), 'HF_WITNESS_PROTOCOL');
      } finally {
        web.closeAllConnections();
        web.close();
      }
      await rejection(witness({ endpoints: 'http://127.0.0.1:1' }).read(), 'HF_WITNESS_UNREACHABLE');
    });

    it('logs in with a password from a file, again when the token is not known any more', async () => {
      const passwordfile = join(etcd.root, 'password');
      await writeFile(passwordfile, 'secret\n', { mode: 0o600 });
      const user = { endpoints: etcd.endpoints, user: 'holdfast', passwordfile };
      const before = witness(user, 'auth');
      await before.arm(at('g1', 'north', 1));
      await etcd.ctl('user', 'add', 'root:root');
      await etcd.ctl('user', 'grant-role', 'root', 'root');
      await etcd.ctl('role', 'add', 'witness');
      await etcd.ctl('role', 'grant-permission', 'witness', 'readwrite', '--prefix=true', '/holdfast/');
      await etcd.ctl('user', 'add', 'holdfast:secret');
      await etcd.ctl('user', 'grant-role', 'holdfast', 'witness');
      await etcd.ctl('auth', 'enable');
      try {
        assert.deepEqual(await before.read(), at('g1', 'north', 1));
        assert.match(
          await rejection(witness({ endpoints: etcd.endpoints }, 'auth').read(), 'HF_WITNESS_AUTHENTICATION'),
          /user name is empty/,
        );
        await rejection(witness({ ...user, prefix: '/elsewhere' }, 'auth').read(), 'HF_WITNESS_AUTHENTICATION');
        await rejection(witness({ ...user, user: 'nobody' }, 'auth').read(), 'HF_WITNESS_AUTHENTICATION');
        // A restart forgets the tokens.
        await etcd.stopMember(0);
        etcd.startMember(0);
        const deadline = performance.now() + 20_000;
        while ((await before.read().catch(() => undefined)) === undefined)
          assert.ok(performance.now() < deadline, 'it never logged in again');
        assert.deepEqual(await before.claim({ from: 'g1', record: at('g2', 'south', 2) }), { outcome: 'granted' });
        await chmod(passwordfile, 0o644);
        assert.match(await rejection(witness(user, 'auth').read(), 'HF_WITNESS_AUTHENTICATION'), /chmod 600/);
      } finally {
        await etcd.ctl('--user', 'root:root', 'auth', 'disable');
      }
    });
  });

  it('uses certificates, and believes no other ones', async () => {
    const etcd = await EtcdCluster.start(1, { tls: true });
    const { ca, clientCert, clientKey, serverCert } = etcd.tls;
    const element = { endpoints: etcd.endpoints, ca, cert: clientCert, key: clientKey };
    const witnesses = [witnessOf(element), witnessOf({ endpoints: etcd.endpoints }), witnessOf({ endpoints: etcd.endpoints, ca })] as const;
    try {
      assert.deepEqual(await witnesses[0].arm(at('g1', 'north', 1)), { outcome: 'armed' });
      assert.deepEqual(await witnesses[0].claim({ from: 'g1', record: at('g2', 'south', 2) }), { outcome: 'granted' });
      await rejection(witnesses[1].read(), 'HF_WITNESS_AUTHENTICATION');
      await rejection(witnesses[2].read(), 'HF_WITNESS_AUTHENTICATION');
      await rejection(witnessOf({ ...element, ca: serverCert }).read(), 'HF_WITNESS_AUTHENTICATION');
      await rejection(witnessOf({ ...element, ca: join(etcd.root, 'absent') }).read(), 'HF_WITNESS_AUTHENTICATION');
      await chmod(clientKey, 0o644);
      assert.match(await rejection(witnesses[0].read(), 'HF_WITNESS_AUTHENTICATION'), /chmod 600/);
    } finally {
      for (const each of witnesses) await each.close();
      await etcd.remove();
    }
  });

  describe('over three members', () => {
    let etcd: EtcdCluster;
    before(async () => {
      etcd = await EtcdCluster.start(3);
    });
    after(() => etcd.remove());

    it('goes on when the leader dies or hangs in the middle of claims, and grants one per generation', async () => {
      const nodes = ['north', 'south'].map((owner) => ({
        owner,
        witness: witnessOf({ endpoints: etcd.endpoints, timeout: 4_000 }, 'chaos'),
      }));
      const [north] = nodes;
      assert.ok(north);
      try {
        let generation = 'g0';
        let epoch = 1;
        await north.witness.arm(at(generation, 'north', epoch));
        let grants = 0;
        const unanswered = new Map<string, string>();
        for (const fault of FAULTS) {
          const victim = await etcd.leader();
          const until = performance.now() + 4_000;
          const striking = new Promise((resolve) => setTimeout(resolve, 500)).then(() =>
            fault === 'kill' ? etcd.stopMember(victim) : etcd.pause(victim),
          );
          while (performance.now() < until) {
            epoch += 1;
            const claims = nodes.map(({ owner }) => ({ from: generation, record: at(`${owner}-${epoch}`, owner, epoch) }));
            const answers = await Promise.all(nodes.map(({ witness }, index) => attempt(witness, claims[index])));
            const won = claims.filter((_, index) => answers[index] === 'granted');
            assert.ok(won.length <= 1, `two grants from ${generation}`);
            const [winner] = won;
            if (winner === undefined) {
              // Nobody knows, or what nobody knew was carried out late: the record tells.
              for (const { from, record } of claims) unanswered.set(record.generation, from);
              generation = await moved(north.witness, generation, unanswered);
            } else {
              grants += 1;
              generation = winner.record.generation;
            }
          }
          await striking;
          if (fault === 'kill') etcd.startMember(victim);
          else etcd.resume(victim);
          await etcd.healthy();
          generation = await moved(north.witness, generation, unanswered);
        }
        assert.ok(grants > 5 * FAULTS.length, `${grants} grants`);
      } finally {
        for (const { witness } of nodes) await witness.close();
      }
    });

    it('has no answer, and no old one either, from a member without a majority', async () => {
      const whole = witnessOf({ endpoints: etcd.endpoints, timeout: 5_000 }, 'minority');
      const alone = witnessOf({ endpoints: etcd.endpoint(0), timeout: 1_500 }, 'minority');
      try {
        await whole.arm(at('g1', 'north', 1));
        etcd.pause(1);
        etcd.pause(2);
        for (const question of [alone.read(), alone.claim({ from: 'g1', record: at('g2', 'south', 2) })]) {
          const outcome = await question.then(
            () => 'answered',
            (error: unknown) => (error as HoldfastError).code,
          );
          assert.ok(['HF_WITNESS_UNREACHABLE', 'HF_WITNESS_STATE'].includes(outcome), outcome);
        }
      } finally {
        etcd.resume(1);
        etcd.resume(2);
        await whole.close();
        await alone.close();
      }
      await etcd.healthy();
    });
  });
});

/** undefined: no answer. */
async function attempt(
  witness: StrongWitness,
  claim: { readonly from: string; readonly record: WitnessRecord } | undefined,
): Promise<'granted' | 'refused' | undefined> {
  assert.ok(claim);
  try {
    return (await witness.claim(claim)).outcome;
  } catch (error) {
    assert.ok(error instanceof HoldfastError && ['HF_WITNESS_UNREACHABLE', 'HF_WITNESS_STATE'].includes(error.code), String(error));
    return undefined;
  }
}

/** The generation of the record, which is the known one or comes from it by a claim that nobody answered. */
async function moved(witness: StrongWitness, known: string, unanswered: ReadonlyMap<string, string>): Promise<string> {
  const found = await settled(witness);
  assert.ok(found.generation === known || unanswered.get(found.generation) === known, `after ${known} came ${found.generation}`);
  return found.generation;
}

async function settled(witness: StrongWitness): Promise<WitnessRecord> {
  const deadline = performance.now() + 20_000;
  for (;;) {
    const found = await witness.read().catch(() => undefined);
    if (found !== undefined) return found;
    assert.ok(performance.now() < deadline, 'etcd did not answer again');
  }
}

/** Lets everything pass until the client has said a word; from then on, on that connection, no answer comes back. */
class DroppingProxy {
  dropAfter: string | undefined;
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
      let dropping = false;
      for (const socket of [client, upstream]) {
        proxy.#sockets.add(socket);
        socket.on('error', () => undefined);
        socket.once('close', () => {
          client.destroy();
          upstream.destroy();
        });
      }
      client.on('data', (piece: Buffer) => {
        dropping ||= proxy.dropAfter !== undefined && piece.includes(proxy.dropAfter);
        upstream.write(piece);
      });
      upstream.on('data', (piece: Buffer) => {
        if (!dropping) client.write(piece);
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
