/** Links that lose their address or interface, in a network namespace that exists only for this test. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

describe('heartbeat links in a network of their own', function () {
  this.timeout(40_000);

  it('work over IPv4 and IPv6, recover when addresses or the interface come back, and fail when the port was stolen', async () => {
    const fixture = fileURLToPath(new URL('./fixtures/namespace.js', import.meta.url));
    const env = { ...process.env, HOLDFAST_REALTIME: 'off' };
    const { stdout } = await promisify(execFile)('unshare', ['--net', process.execPath, '--enable-source-maps', fixture], { env });
    assert.equal(stdout, 'passed\n');
  });
});
