/** The checker against real links of namespaces that are made for each case and end with it. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { checksum, echoRequest, isEchoReply } from '../src/icmp.js';

const CASES = fileURLToPath(new URL('./network-cases.js', import.meta.url));
const TITLES = JSON.parse(execFileSync(process.execPath, [CASES], { encoding: 'utf8' })) as readonly string[];
const NAMESPACES = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];

describe('ping checker', function () {
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

  it('makes requests with a right checksum, and takes only whole and own answers', () => {
    const token = Buffer.from('0123456789abcdef');
    const request = echoRequest(4, 0x1234, 7, token);
    assert.equal(checksum(request), 0);
    const reply = Buffer.from(request);
    reply.writeUInt8(0, 0);
    const packet = Buffer.concat([Buffer.from([0x45]), Buffer.alloc(19), reply]);
    assert.equal(isEchoReply(4, packet, 0x1234, token), 7);
    assert.equal(isEchoReply(4, packet, 0x1235, token), undefined);
    assert.equal(isEchoReply(4, packet, 0x1234, Buffer.from('fedcba9876543210')), undefined);
    for (let length = 0; length < packet.length; length += 1) {
      assert.equal(isEchoReply(4, packet.subarray(0, length), 0x1234, token), undefined);
    }
  });
});
