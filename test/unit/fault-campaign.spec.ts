/** The parts of the fault campaign that decide: the plan, the judge, and the tools of its faults. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Acknowledgement } from '../campaign/faults/acknowledgement.js';
import { findContradictions, findLost, longestGapMs } from '../campaign/faults/judge.js';
import { KINDS, planFault } from '../campaign/faults/plan.js';
import { Lab, type LabMachine } from '../lab/index.js';

const CLOCK_SHIFT = fileURLToPath(new URL('../campaign/faults/clock-shift.js', import.meta.url));
const DAY_MS = 86_400_000;

const said = (place: number, node: string, sentMs: number, atMs: number): Acknowledgement => ({
  entry: `e${place}-${node}`,
  place,
  node,
  sentMs,
  atMs,
});
const kindsOf = (...acknowledged: readonly Acknowledgement[]): string[] => findContradictions(acknowledged).map(({ kind }) => kind);

describe('the plan of a fault campaign', () => {
  it('repeats each fault from seed and number alone', () => {
    assert.deepEqual(planFault(7, 41), planFault(7, 41));
    assert.notDeepEqual(planFault(7, 41), planFault(8, 41));
    assert.notDeepEqual(planFault(7, 41), planFault(7, 42));
  });

  it('has every kind of fault, alone and with another one', () => {
    const faults = Array.from({ length: 500 }, (_, index) => planFault(1, index + 1));
    const alone = new Set(faults.filter(({ deeds }) => deeds.length === 1).map(({ deeds }) => deeds[0]?.kind));
    assert.deepEqual(
      KINDS.filter((kind) => !alone.has(kind)),
      [],
    );
    const pairs = faults.filter(({ deeds }) => deeds.length === 2).length;
    assert.ok(pairs > 60 && pairs < 200, `${pairs} of 500 are two at a time`);
  });
});

describe('the judge of a fault campaign', () => {
  it('finds a record that is missing, and one that is somewhere else', () => {
    const acknowledged = [said(1, 'n1', 0, 1), said(2, 'n1', 2, 3), said(3, 'n1', 4, 5)];
    const present = new Map([
      [1, 'e1-n1'],
      [2, 'e3-n1'],
    ]);
    assert.deepEqual(
      findLost(acknowledged, present).map(({ text }) => /^e\d/.exec(text)?.[0]),
      ['e2', 'e3'],
    );
  });

  it('has nothing against a takeover during which an answer was late', () => {
    const before = [said(1, 'n1', 0, 10), said(2, 'n1', 5, 900)];
    const after = [said(3, 'n2', 500, 800), said(4, 'n2', 801, 820)];
    assert.deepEqual(kindsOf(...before, ...after), []);
  });

  it('finds a place that two nodes gave away', () => {
    assert.deepEqual(kindsOf(said(1, 'n1', 0, 10), said(2, 'n1', 11, 20), said(2, 'n2', 3000, 3010)), ['dualPrimary']);
  });

  it('finds an earlier place that was given after a later one, by the other node or by the same', () => {
    assert.deepEqual(kindsOf(said(1, 'n1', 5000, 5010), said(2, 'n2', 0, 10)), ['dualPrimary']);
    assert.deepEqual(kindsOf(said(1, 'n1', 5000, 5010), said(2, 'n1', 0, 10)), ['disorder']);
  });

  it('finds an acknowledgement of one node among those of the other', () => {
    assert.deepEqual(kindsOf(said(1, 'n1', 0, 10), said(2, 'n2', 20, 30), said(3, 'n1', 40, 50)), ['dualPrimary']);
    assert.deepEqual(kindsOf(said(1, 'n1', 0, 10), said(2, 'n2', 2000, 2010), said(3, 'n1', 4000, 4010)), []);
  });

  it('measures the outage that touches a period, not one before it', () => {
    const times = [0, 10, 900, 910, 2910, 2920];
    assert.equal(longestGapMs(times, 905, 3000), 2000);
    assert.equal(longestGapMs(times, 0, 905), 890);
    assert.equal(longestGapMs(times, 2915, 3000), 10);
  });
});

describe('the tools of a fault campaign', () => {
  it('let the clock of a process jump, and leave its monotonic clock alone', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'clock-shift-'));
    const file = join(folder, 'shift');
    const print = 'console.log(Date.now(), new Date().getTime(), performance.timeOrigin + performance.now())';
    const program = `${print}; process.stdin.on("data", () => { ${print} })`;
    const child = spawn(process.execPath, ['-e', program], {
      env: { NODE_OPTIONS: `--import=${CLOCK_SHIFT}`, HOLDFAST_CLOCK_SHIFT_FILE: file },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    try {
      const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
      const offsets = async (): Promise<number[]> => {
        const [now = 0, made = 0, real = 0] = String((await lines.next()).value)
          .split(' ')
          .map(Number);
        return [now - real, made - real].map((offset) => 0 + Math.round(offset / DAY_MS));
      };
      assert.deepEqual(await offsets(), [0, 0]);
      writeFileSync(file, String(-30 * DAY_MS));
      await new Promise((resolve) => setTimeout(resolve, 100));
      child.stdin.write('again\n');
      assert.deepEqual(await offsets(), [-30, -30]);
    } finally {
      child.kill('SIGKILL');
      rmSync(folder, { recursive: true });
    }
  });

  it('make the cables of a machine slow, through a power cut, and fast again', async function () {
    this.timeout(60_000);
    const lab = await Lab.create({ nodes: ['n1', 'n2'], networks: [{ id: 1 }, { id: 2 }] });
    try {
      const [first, second] = lab.nodes as [LabMachine, LabMachine];
      const roundTripMs = async (position: number): Promise<number> => {
        const address = second.addresses[position]?.ipv4 ?? '';
        const output = await first.run(['ping', '-c', '4', '-i', '0.2', address]);
        return Number(/= [\d.]+\/([\d.]+)\//.exec(output)?.[1]);
      };
      await lab.network.slow('n2', { delayMs: 60, jitterMs: 10 });
      for (const position of [0, 1]) assert.ok((await roundTripMs(position)) > 90);
      // What is sent whole, to be cut and summed by the hardware, arrives whole.
      const size = 300_000;
      const receive = `require('net').createServer((s) => { let n = 0;
        s.on('data', (d) => { n += d.length; if (n === ${size}) s.end('all'); }) }).listen(7000)`;
      second.spawn([process.execPath, '-e', receive]);
      const send = `const go = () => { const s = require('net').connect(7000, '${second.addresses[0]?.ipv4}');
        s.on('error', () => setTimeout(go, 50)); s.write(Buffer.alloc(${size})); s.on('data', (d) => console.log(String(d))) }; go()`;
      assert.equal((await first.run([process.execPath, '-e', send], { timeoutMs: 20_000 })).trim(), 'all');
      await second.powerCut();
      await second.powerOn();
      assert.ok((await roundTripMs(0)) < 60, 'a new cable');
      await lab.network.slow('n1', { delayMs: 60, jitterMs: 0, network: 2 });
      assert.ok((await roundTripMs(1)) > 90);
      await lab.network.heal();
      for (const position of [0, 1]) assert.ok((await roundTripMs(position)) < 60);
    } finally {
      await lab.close();
    }
  });
});
