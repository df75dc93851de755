/**
 * A pair that crashes at chosen records, again and again: one cycle is a batch of sequences, a crash in the middle of it, what the platform
 * does then, and the checks of what was promised.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { CrashDisks } from './crash-disks.js';
import { CrashWork } from './crash-work.js';
import { digest, OPERATIONS, perform, pictureOf, prepare, type Sequence } from './crash-operations.js';
import { addressOf, assertIdentical, generation, Lab, term, type LabNode, type NodeSettings } from './lab.js';
import { RecordProxy, type StopPoint } from './record-proxy.js';

const [PORT, PROXY_PORT] = [5600, 5700];
const PAGE_BYTES = 4096;
export interface Crash {
  readonly victim: 'primary' | 'secondary' | 'both' | 'link';
  /** `power`: what was not synced is lost. */
  readonly how: 'kill' | 'power';
  readonly direction: StopPoint['direction'];
  readonly records: number;
}

export class CrashLab {
  readonly #lab: Lab;
  readonly #disks: CrashDisks;
  readonly #proxies: ReadonlyMap<LabNode, RecordProxy>;
  #primary: LabNode;
  #secondary: LabNode;
  #term = 1;
  #cycle = 0;
  /** What a bare directory holds after a sequence. */
  readonly #expected = new Map<string, string>();

  private constructor(lab: Lab, disks: CrashDisks, primary: LabNode, secondary: LabNode, proxies: ReadonlyMap<LabNode, RecordProxy>) {
    this.#lab = lab;
    this.#disks = disks;
    this.#primary = primary;
    this.#secondary = secondary;
    this.#proxies = proxies;
  }

  /** @param settings of both nodes */
  static async create(settings: Pick<NodeSettings, 'async' | 'sync'>): Promise<CrashLab> {
    const lab = new Lab(settings);
    const disks = new CrashDisks(lab);
    const proxies = new Map<LabNode, RecordProxy>();
    const nodeWithDisk = async (name: 'a' | 'b'): Promise<LabNode> => {
      const node = await lab.node({ name, port: PORT, peerPort: PROXY_PORT, prepare: await disks.prepare(name) });
      proxies.set(node, await RecordProxy.listen(addressOf(name), PROXY_PORT, PORT));
      return node;
    };
    try {
      const [a, b] = [await nodeWithDisk('a'), await nodeWithDisk('b')];
      await a.becomePrimary(1, { base: 1, fresh: true });
      await b.becomeSecondary(1);
      await a.connectPeer(1, 'compare');
      await a.reach('connected');
      return new CrashLab(lab, disks, a, b, proxies);
    } catch (error) {
      for (const proxy of proxies.values()) await proxy.close();
      await lab.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    for (const proxy of this.#proxies.values()) await proxy.close();
    await this.#lab.close();
  }

  /**
   * One batch with one crash. Afterwards the pair is connected again, perhaps in other roles.
   * @returns operations that had returned when it crashed, and whether it came before the last one
   * @throws when a promise was broken
   */
  async cycle(
    sequences: readonly Sequence[],
    concurrency: number,
    crash: Crash,
  ): Promise<{ acknowledged: number; isInterrupted: boolean }> {
    this.#cycle += 1;
    const name = `c${this.#cycle}`;
    await this.#primary.must('rm -rf c*');
    const work = await CrashWork.start(this.#primary, name, sequences, concurrency);
    try {
      const { direction, records } = crash;
      const proxy = this.#proxies.get(this.#secondary) as RecordProxy;
      const reached = new Promise<boolean>((resolve) => {
        proxy.arm({ direction, records, reached: () => resolve(true) });
      });
      work.begin();
      const isInterrupted = await Promise.race([reached, work.finished.then(() => false)]);
      const acknowledged = work.returned;
      switch (crash.victim) {
        case 'primary':
          await this.#losePrimary(work, crash);
          break;
        case 'secondary':
        case 'link':
          await this.#loseSecondary(work, crash);
          break;
        case 'both':
          await this.#loseBoth(work, crash);
      }
      await assertIdentical(this.#primary, this.#secondary);
      return { acknowledged, isInterrupted };
    } finally {
      await work.end();
    }
  }

  /** The secondary takes over and has everything that was acknowledged. */
  async #losePrimary(work: CrashWork, crash: Crash): Promise<void> {
    const [lost, survivor] = [this.#primary, this.#secondary];
    await this.#takeDown([lost], crash.how, work);
    this.#proxies.get(survivor)?.reset();
    await survivor.reach('none');
    const base = this.#term;
    this.#term += 1;
    await survivor.becomePrimary(this.#term, { base });
    await this.#checkAcknowledged(work, survivor);
    [this.#primary, this.#secondary] = [survivor, lost];
    await this.#bringBack('journal');
  }

  /** The primary goes on, and brings the secondary up to date while the application works. */
  async #loseSecondary(work: CrashWork, crash: Crash): Promise<void> {
    const [primary, secondary] = [this.#primary, this.#secondary];
    if (crash.victim === 'secondary') await this.#takeDown([secondary], crash.how);
    this.#proxies.get(secondary)?.reset();
    await primary.reach('holding');
    const base = this.#term;
    this.#term += 1;
    await primary.call({ call: 'continueAlone', term: term(this.#term), base: generation(base) });
    await this.#bringBack('journal');
    await work.finished;
    assert.equal(work.isDone, true, 'the application did not finish its work');
    await this.#checkAcknowledged(work, primary);
  }

  /** What was synced is there, on the node that was primary; without loss of unsynced data, everything acknowledged. */
  async #loseBoth(work: CrashWork, crash: Crash): Promise<void> {
    await this.#takeDown([this.#primary, this.#secondary], crash.how, work);
    this.#proxies.get(this.#secondary)?.reset();
    const base = this.#term;
    this.#term += 1;
    await this.#primary.start();
    await this.#primary.becomePrimary(this.#term, { base });
    if (crash.how === 'kill') await this.#checkAcknowledged(work, this.#primary);
    else await this.#checkSynced(work, this.#primary);
    await this.#bringBack('compare');
  }

  async #bringBack(mode: 'journal' | 'compare'): Promise<void> {
    const { status } = this.#secondary;
    if (status.role === 'stopped') await this.#secondary.start();
    await this.#secondary.becomeSecondary(this.#term);
    await this.#primary.connectPeer(this.#term, mode);
    await this.#primary.reach('connected');
    await this.#secondary.reach('connected');
    assert.equal(this.#primary.status.lastResync?.mode, mode, this.#primary.log.join('\n'));
    assert.equal(this.#secondary.status.inconsistent, false);
  }

  async #takeDown(nodes: readonly LabNode[], how: Crash['how'], work?: CrashWork): Promise<void> {
    if (how === 'power') await this.#disks.cutPower(nodes);
    else await Promise.all(nodes.map((node) => node.kill()));
    // A process in the node's mount namespace keeps its disk mounted.
    await work?.end();
    for (const node of nodes) await this.#disks.released(node);
  }

  /** Every sequence is as far as it was acknowledged, or one operation further. */
  async #checkAcknowledged(work: CrashWork, survivor: LabNode): Promise<void> {
    for (const [index, sequence] of work.sequences.entries()) {
      const found = pictureOf(join(survivor.treeOutside, work.directory, String(index)));
      const outcomes = work.outcomes(index);
      const least = await this.#expect(sequence.slice(0, outcomes.length));
      if (found === least) continue;
      const next = await this.#expect(sequence.slice(0, outcomes.length + 1));
      if (
        found === next ||
        (await this.#isHalfWritten(sequence.slice(0, outcomes.length + 1), join(survivor.treeOutside, work.directory, String(index))))
      )
        continue;
      const text = `${sequence.join(', ')} (answered: ${outcomes.join(', ')})`;
      assert.equal(found, next, `${text}: ${survivor.name} does not hold what was acknowledged, which is\n${least}\n`);
    }
  }

  /** The last write is there up to the end of a page: the kernel hands it over in pieces, when a page in it was not in memory. */
  async #isHalfWritten(sequence: Sequence, directory: string): Promise<boolean> {
    const [written = '', ...others] = OPERATIONS[sequence.at(-1) ?? '']?.touches ?? [];
    if (others.length > 0 || !existsSync(join(directory, written))) return false;
    const read = (from: string): Buffer => readFileSync(join(from, written));
    const rest = (from: string): string[] =>
      pictureOf(from)
        .split('\n')
        .filter((line) => !line.endsWith(` /${written}`));
    if (!(await this.#bare(sequence.slice(0, -1), (bare) => existsSync(join(bare, written))))) return false;
    const [before, after] = [await this.#bare(sequence.slice(0, -1), read), await this.#bare(sequence, read)];
    const [found, left] = [read(directory), await this.#bare(sequence, rest)];
    const ends = Array.from({ length: Math.ceil(after.length / PAGE_BYTES) }, (_, i) => i * PAGE_BYTES);
    const isPart = ends.some((end) => found.equals(Buffer.concat([after.subarray(0, end), before.subarray(end)])));
    return isPart && rest(directory).join('\n') === left.join('\n');
  }

  /** Every file that was synced and not changed since has the content that it had then. */
  async #checkSynced(work: CrashWork, survivor: LabNode): Promise<void> {
    for (const [index, sequence] of work.sequences.entries()) {
      const outcomes = work.outcomes(index);
      for (const [step, outcome] of outcomes.entries()) {
        const synced = OPERATIONS[sequence[step] ?? '']?.syncs;
        if (outcome !== 'ok' || synced === undefined) continue;
        const later = sequence.slice(step + 1, outcomes.length + 1);
        if (later.some((each) => OPERATIONS[each]?.touches.includes(synced) === true)) continue;
        const expected = await this.#bare(sequence.slice(0, step), (directory) => digest(readFileSync(join(directory, synced))));
        const path = join(survivor.treeOutside, work.directory, String(index), synced);
        const found = existsSync(path) ? digest(readFileSync(path)) : 'nothing';
        assert.equal(found, expected, `${sequence.join(', ')}: ${synced} was synced in step ${step} and is not on ${survivor.name}`);
      }
    }
  }

  async #expect(sequence: Sequence): Promise<string> {
    const key = sequence.join(' ');
    const known = this.#expected.get(key) ?? (await this.#bare(sequence, pictureOf));
    this.#expected.set(key, known);
    return known;
  }

  async #bare<T>(sequence: Sequence, look: (directory: string) => T): Promise<T> {
    const directory = join(this.#lab.base, 'bare');
    await prepare(directory);
    for (const operation of sequence) await perform(operation, directory);
    const found = look(directory);
    rmSync(directory, { recursive: true });
    return found;
  }
}
