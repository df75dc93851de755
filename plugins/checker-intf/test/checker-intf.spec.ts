/** The checker against real links of namespaces that are made for each case and end with it. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const CASES = fileURLToPath(new URL('./network-cases.js', import.meta.url));
const TITLES = JSON.parse(execFileSync(process.execPath, [CASES], { encoding: 'utf8' })) as readonly string[];
const NAMESPACES = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];

describe('intf checker', function () {
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
});
