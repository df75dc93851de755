/** The ping witness in a network of its own: a host behind a virtual cable, over IPv4 and IPv6. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { ElementValue, WitnessReach } from '@holdfast/sdk';
import { witnessOf } from './probe.js';

const run = promisify(execFile);
const PROBE = fileURLToPath(new URL('probe.js', import.meta.url));
const NODE_SPACE = `hf-ping-${process.pid}-n`;
const HOST_SPACE = `hf-ping-${process.pid}-h`;
/** Addresses that nobody has. */
const [NOBODY4, NOBODY6] = ['10.79.0.9', 'fd79::9'];

const ip = async (...words: readonly string[]): Promise<void> => void (await run('ip', words));

describe('the ping witness', function () {
  this.timeout(20_000);

  before(async () => {
    await ip('netns', 'add', NODE_SPACE);
    await ip('netns', 'add', HOST_SPACE);
    await ip('-n', NODE_SPACE, 'link', 'add', 'node', 'type', 'veth', 'peer', 'name', 'host', 'netns', HOST_SPACE);
    for (const [space, device, last] of [[NODE_SPACE, 'node', 1] as const, [HOST_SPACE, 'host', 2] as const]) {
      await ip('-n', space, 'link', 'set', 'lo', 'up');
      await ip('-n', space, 'link', 'set', device, 'up');
      await ip('-n', space, 'addr', 'add', `10.79.0.${last}/24`, 'dev', device);
      await ip('-n', space, 'addr', 'add', `fd79::${last}/64`, 'dev', device, 'nodad');
      await ip('-n', space, 'addr', 'add', `fe80::79:${last}/64`, 'dev', device, 'nodad');
    }
  });

  after(async () => {
    for (const space of [NODE_SPACE, HOST_SPACE]) await ip('netns', 'del', space).catch(() => undefined);
  });

  async function asked(type: 'ping' | 'splitbrain', element: ElementValue): Promise<WitnessReach> {
    const { stdout } = await run('ip', ['netns', 'exec', NODE_SPACE, process.execPath, PROBE, type, JSON.stringify(element)]);
    return JSON.parse(stdout) as WitnessReach;
  }

  const to = (...addresses: readonly string[]): ElementValue => ({ timeout: 1_000, to: addresses.map((addr) => ({ addr })) });

  it('reaches a host over IPv4, IPv6 and a link-local address', async () => {
    for (const address of ['10.79.0.2', 'fd79::2', 'fe80::79:2%node']) {
      const { reached, detail } = await asked('ping', to(address));
      assert.deepEqual([reached, detail.replace(/ in [0-9.]+ ms$/, '')], [true, `${address} answered`]);
    }
  });

  it('is content with one answer, and does not wait for the others', async () => {
    const beganMs = performance.now();
    assert.equal(
      (await asked('ping', { timeout: 15_000, to: [{ addr: NOBODY4 }, { addr: NOBODY6 }, { addr: '10.79.0.2' }] })).reached,
      true,
    );
    assert.ok(performance.now() - beganMs < 10_000);
  });

  it('takes the split-brain checker of existing files', async () => {
    assert.equal((await asked('splitbrain', { ident: 'witness', exec: 'ping', arg: ` ${NOBODY4}  10.79.0.2` })).reached, true);
    const { reached, detail } = await asked('splitbrain', { ident: 'witness', exec: 'ping', arg: NOBODY4 });
    assert.deepEqual([reached, detail], [false, `no answer from ${NOBODY4}`]);
  });

  it('never takes this node itself for the network', async () => {
    for (const address of ['10.79.0.1', 'fd79::1', 'fd79:0:0::1', '127.0.0.1', '127.1.2.3', '::1', 'fe80::79:1%node']) {
      const { reached, detail } = await asked('ping', to(address));
      assert.deepEqual([reached, detail], [false, `${address} is this node itself`]);
    }
  });

  it('survives lost packets', async () => {
    const nft = (text: string) => run('ip', ['netns', 'exec', HOST_SPACE, 'nft', text]);
    await nft('table inet t { chain c { type filter hook input priority 0; icmp type echo-request numgen inc mod 3 < 2 drop; }; }');
    try {
      assert.equal((await asked('ping', { timeout: 5_000, to: [{ addr: '10.79.0.2' }] })).reached, true);
    } finally {
      await nft('delete table inet t');
    }
  });

  it('reaches nobody once the cable is cut', async () => {
    await ip('-n', HOST_SPACE, 'link', 'set', 'host', 'down');
    const cut = await asked('ping', to('10.79.0.2', 'fd79::2'));
    assert.equal(cut.reached, false);
    for (const address of ['10.79.0.2', 'fd79::2']) assert.ok(cut.detail.includes(`no answer from ${address}`), cut.detail);
    await ip('-n', NODE_SPACE, 'link', 'set', 'node', 'down');
    const unplugged = await asked('ping', to('10.79.0.2'));
    assert.equal(unplugged.reached, false);
    await ip('-n', NODE_SPACE, 'link', 'set', 'node', 'up');
    await ip('-n', HOST_SPACE, 'link', 'set', 'host', 'up');
    await ip('-n', HOST_SPACE, 'addr', 'replace', 'fd79::2/64', 'dev', 'host', 'nodad');
  });

  it('ends when aborted or closed, and leaves no process behind', async () => {
    const element = { timeout: 10_000, to: [{ addr: '192.0.2.1' }] };
    const code = (promise: Promise<unknown>): Promise<unknown> =>
      promise.then(
        () => 'answered',
        (error: unknown) => (error as { readonly code?: unknown }).code,
      );
    const abort = new AbortController();
    const witness = witnessOf('ping', element);
    const reaching = code(witness.reaches(abort.signal));
    abort.abort();
    assert.equal(await reaching, 'HF_WITNESS_UNREACHABLE');
    assert.equal(await code(witness.reaches(AbortSignal.abort())), 'HF_WITNESS_UNREACHABLE');
    const closing = code(witness.reaches());
    await witness.close();
    assert.equal(await closing, 'HF_WITNESS_UNREACHABLE');
    assert.equal(await code(witness.reaches()), 'HF_WITNESS_UNREACHABLE');
  });

  it('says that nobody can be asked when there is no ping', async () => {
    const path = process.env['PATH'];
    process.env['PATH'] = '/nonexistent';
    try {
      await assert.rejects(
        witnessOf('ping', to('192.0.2.1')).reaches(),
        /HF_WITNESS_STATE: the program ping cannot be run \(ENOENT\): install it/,
      );
    } finally {
      process.env['PATH'] = path;
    }
  });

  it('refuses elements that no schema has checked', () => {
    for (const element of [{}, { to: [] }, { to: [{ addr: 'gateway' }] }, { arg: '10.0.0.1; reboot' }, { arg: '-f' }] as ElementValue[]) {
      assert.throws(() => witnessOf('ping', element), /HF_WITNESS_CONFIGURATION/);
    }
  });
});
