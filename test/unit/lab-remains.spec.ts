/** A lab leaves nothing behind, however it ends: no process, namespace, mount, loop device, interface or file. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { waitFor } from '../lab/index.js';

const MAIN = fileURLToPath(new URL('../lab/main.js', import.meta.url));
/** Long, because the last processes wait for the host's own init to reap them, which has all the time in the world. */
const DEADLINE_MS = 20_000;
const NAMESPACES = ['pid', 'mnt', 'net', 'uts', 'ipc'];

/** Everything by which a lab could be found again. */
interface Traces {
  readonly namespaces: ReadonlySet<string>;
  readonly images: readonly string[];
}

interface LabProcess {
  readonly child: ChildProcess;
  readonly supervisorPid: number;
  readonly traces: Traces;
}

async function startLab(): Promise<LabProcess> {
  const child = spawn(process.execPath, [MAIN, '--json', 'n1', 'n2'], { stdio: ['pipe', 'pipe', 'inherit'] });
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  const { supervisorPid, machines } = JSON.parse(line) as { supervisorPid: number; machines: { initHostPid: number }[] };
  const own = new Set(NAMESPACES.map((kind) => readlinkSync(`/proc/self/ns/${kind}`)));
  const inits = [supervisorPid, ...machines.map(({ initHostPid }) => initHostPid)];
  const namespaces = inits.flatMap((pid) => NAMESPACES.map((kind) => readlinkSync(`/proc/${pid}/ns/${kind}`)));
  // uts and ipc of the supervisor are the host's.
  const traces = { namespaces: new Set(namespaces.filter((name) => !own.has(name))), images: imagesIn(supervisorPid) };
  assert.equal(traces.images.length, 2, 'each node has a disk');
  return { child, supervisorPid, traces };
}

/** Names of the disk images that are mounted in the mount namespace of a process. */
function imagesIn(pid: number): string[] {
  const devices = [...readFileSync(`/proc/${pid}/mounts`, 'utf8').matchAll(/^\/dev\/(loop\d+) .*holdfast-lab/gm)];
  return devices.map(([, device]) => readFileSync(`/sys/block/${device ?? ''}/loop/backing_file`, 'utf8').split(' ')[0] ?? '');
}

/** What is still there, in words; empty when the lab is gone without a trace. */
function remains({ namespaces, images }: Traces): string[] {
  const found: string[] = [];
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    for (const kind of NAMESPACES) {
      const name = attempt(() => readlinkSync(`/proc/${pid}/ns/${kind}`));
      if (name !== undefined && namespaces.has(name)) found.push(`process ${pid} in ${name}`);
    }
  }
  for (const device of readdirSync('/sys/block').filter((name) => name.startsWith('loop'))) {
    const file = attempt(() => readFileSync(`/sys/block/${device}/loop/backing_file`, 'utf8')) ?? '';
    if (images.some((image) => file.startsWith(image))) found.push(`loop device ${device}`);
  }
  for (const image of images) if (existsSync(image)) found.push(`file ${image}`);
  found.push(...readdirSync(tmpdir()).filter((name) => name.startsWith('holdfast-lab')));
  if (existsSync('/run/netns')) found.push(...readdirSync('/run/netns').filter((name) => /^(n[12]|client|sw)$/.test(name)));
  found.push(...readdirSync('/sys/class/net').filter((name) => /^(br1|(n[12]|client)-1)$/.test(name)));
  if (readFileSync('/proc/mounts', 'utf8').includes('holdfast-lab')) found.push('a mount on the host');
  return found;
}

async function assertGone(traces: Traces): Promise<void> {
  let left: string[] = [];
  try {
    await waitFor('the lab to vanish', DEADLINE_MS, () => {
      left = remains(traces);
      return left.length === 0;
    });
  } catch (error) {
    assert.fail(`${String(error)}; left: ${left.join(', ')}`);
  }
}

function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

describe('the end of a lab', function () {
  this.timeout(50_000);
  let lab: LabProcess;

  beforeEach(async () => {
    lab = await startLab();
    assert.notDeepEqual(remains(lab.traces), [], 'the test can see a living lab');
  });
  afterEach(async () => {
    lab.child.kill('SIGKILL');
    if (lab.child.exitCode === null && lab.child.signalCode === null) await once(lab.child, 'exit');
  });

  it('leaves nothing when its supervisor is killed', async () => {
    process.kill(lab.supervisorPid, 'SIGKILL');
    lab.child.kill('SIGTERM');
    await assertGone(lab.traces);
  });

  it('leaves nothing when its owner is killed', async () => {
    lab.child.kill('SIGKILL');
    await assertGone(lab.traces);
  });

  it('leaves nothing when its owner is stopped by Ctrl-C', async () => {
    lab.child.kill('SIGINT');
    const [code] = (await once(lab.child, 'exit')) as [number | null];
    assert.equal(code, 0);
    assert.deepEqual(remains(lab.traces), []);
  });

  it('does not disturb another lab of the same names', async () => {
    const other = await startLab();
    try {
      lab.child.kill('SIGKILL');
      await assertGone(lab.traces);
      assert.ok(existsSync(`/proc/${other.supervisorPid}`));
      assert.ok(remains(other.traces).length > 0);
    } finally {
      other.child.kill('SIGKILL');
      await once(other.child, 'exit');
      await assertGone(other.traces);
    }
  });
});
