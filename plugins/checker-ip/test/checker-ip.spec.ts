/** The checker against real links of namespaces that are made for each case and end with it. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { createdChecks } from '@holdfast/sdk/testkit/created';
import { readAddressBytes } from '../src/address.js';
import { plugin } from '../src/index.js';

const CASES = fileURLToPath(new URL('./network-cases.js', import.meta.url));
const TITLES = JSON.parse(execFileSync(process.execPath, [CASES], { encoding: 'utf8' })) as readonly string[];
const NAMESPACES = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];

describe('ip checker', function () {
  this.timeout(30_000);

  for (const title of TITLES) {
    it(title, () => {
      const inside = ['bash', '-c', 'mount -t sysfs sysfs /sys && ip link set lo up && exec "$@"', '-', process.execPath, CASES, title];
      const { status, stderr } = spawnSync('unshare', [...NAMESPACES, ...inside], {
        encoding: 'utf8',
        timeout: 25_000,
        killSignal: 'SIGKILL',
      });
      assert.equal(status, 0, stderr);
    });
  }

  it('knows one address in all its spellings, and what can be none of a node', () => {
    assert.equal(readAddressBytes('2001:db8::10'), readAddressBytes('2001:0DB8:0:0:0::10'));
    assert.equal(readAddressBytes('::ffff:192.0.2.1'), '00000000000000000000ffffc0000201');
    assert.equal(readAddressBytes('fe80::1%eth0'), readAddressBytes('fe80::1'));
    for (const none of ['0.0.0.0', '224.0.0.1', '255.255.255.255', '::', 'ff02::1', 'host'])
      assert.equal(readAddressBytes(none), undefined);
  });

  it('refuses an address that no node can have', () => {
    const create = (addr: string): unknown => createdChecks(plugin, {}, { ident: 'a', to: [{ addr }] });
    assert.throws(() => create('224.0.0.1'), /HF_IP_ADDRESS: addr="224\.0\.0\.1"/);
  });
});
