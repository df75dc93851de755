/**
 * A pair that crashes at chosen records, again and again: one cycle is a batch of sequences, a crash in the middle of it, what the platform
 * does then, and the checks of what was promised.
 *
 * Nodes have disks of their own: ext4 in an image. A power cut stops the node's processes, shuts the file system down without writing
 * anything more, then kills them: what was not synced is lost, in the data as well as in the state. The next start is another boot.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CrashWork } from './crash-work.js';
import { digest, OPERATIONS, perform, pictureOf, prepare, type Sequence } from './crash-operations.js';
import { addressOf, assertIdentical, generation, Lab, run, term, until, type LabNode } from './lab.js';
import { RecordProxy, type StopPoint } from './record-proxy.js';

const [PORT, PROXY_PORT] = [5600, 5700];
const IMAGE_MIB = 256;
const WORK_MS = 60_000;
/** EXT4_IOC_SHUTDOWN without flushing the journal. */
const SHUT_DOWN = `perl -e 'open(my $root, "<", $ARGV[0]) or die $!; my $flag = pack("L", 2); ioctl($root, 0x8004587d, $flag) or die $!;'`;

export interface Crash {
  readonly victim: 'primary' | 'secondary' | 'both' | 'link';
  /** `power`: what was not synced is lost. */
  readonly how: 'kill' | 'power';
  readonly direction: StopPoint['direction'];
  readonly records: number;
}

export class CrashLab {
  readonly #lab: Lab;
  readonly #proxies: ReadonlyMap<LabNode, RecordProxy>;
  #primary: LabNode;
  #secondary: LabNode;
  #term = 1;
  #cycle = 0;
  /** What a bare directory holds after a sequence. */
  readonly #expected = new Map<string, string>();

  private constructor(lab: Lab, primary: LabNode, secondary: LabNode, proxies: ReadonlyMap<LabNode, RecordProxy>) {
    this.#lab = lab;
    this.#primary = primary;
    this.#secondary = secondary;
    this.#proxies = proxies;
  }

  static async create(async: 'second' | 'none'): Promise<CrashLab> {
    const lab = new Lab();
    const proxies = new Map<LabNode, RecordProxy>();
    const nodeWithDisk = async (name: 'a' | 'b'): Promise<LabNode> => {
      const [image, boot] = ['img', 'boot'].map((suffix) => join(lab.base, `${name}.${suffix}`)) as [string, string];
      mkdirSync(join(lab.base, name), { recursive: true });
      writeFileSync(boot, `${randomUUID()}\n`);
      const { code, output } = await run(`truncate -s ${IMAGE_MIB}M ${image} && mkfs.ext4 -q -F -E nodiscard -m 0 ${image}`);
      assert.equal(code, 0, output);
      const disk = `mount -o loop,noatime '${image}' "$DIR/.." && mkdir -p "$DIR" "$DIR/../state"`;
      const boots = `mount --bind '${boot}' /proc/sys/kernel/random/boot_id`;
      const node = await lab.node({ name, async, port: PORT, peerPort: PROXY_PORT, prepare: `${disk} && ${boots}` });
      proxies.set(node, await RecordProxy.listen(addressOf(name), PROXY_PORT, PORT));
      return node;
    };
    try {
      const [a, b] = [await nodeWithDisk('a'), await nodeWithDisk('b')];
      await a.becomePrimary(1, { base: 1, fresh: true });
      await b.becomeSecondary(1);
      await a.connectPeer(1, 'compare');
      await a.reach('connected');
      return new CrashLab(lab, a, b, proxies);
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
    assert.equal(this.#primary.status.lastResync?.mode, mode, this.#primary.log.join('\n'));
    assert.equal(this.#secondary.status.inconsistent, false);
  }

  async #takeDown(nodes: readonly LabNode[], how: Crash['how'], work?: CrashWork): Promise<void> {
    if (how === 'power') {
      for (const { agentPid, replicatorPid } of nodes) for (const pid of [agentPid, replicatorPid]) process.kill(pid, 'SIGSTOP');
      for (const node of nodes) {
        const { code, output } = await run(`${SHUT_DOWN} '${node.tree}/..'`, ['nsenter', '-t', String(node.agentPid), '-m']);
        assert.equal(code, 0, output);
        writeFileSync(join(this.#lab.base, `${node.name}.boot`), `${randomUUID()}\n`);
      }
    }
    await Promise.all(nodes.map((node) => node.kill()));
    // A process in the node's mount namespace keeps its disk mounted.
    await work?.end();
    for (const node of nodes) await this.#released(node);
  }

  async #released(node: LabNode): Promise<void> {
    const image = `${node.name}.img`;
    const isUsed = (): boolean =>
      readdirSync('/sys/block').some((device) => {
        const file = `/sys/block/${device}/loop/backing_file`;
        try {
          return existsSync(file) && readFileSync(file, 'utf8').startsWith(join(this.#lab.base, image));
        } catch {
          return false;
        }
      });
    await until(
      () => !isUsed(),
      () => `${image} to be released`,
      WORK_MS,
    );
  }

  /** Every sequence is as far as it was acknowledged, or one operation further. */
  async #checkAcknowledged(work: CrashWork, survivor: LabNode): Promise<void> {
    for (const [index, sequence] of work.sequences.entries()) {
      const found = pictureOf(join(survivor.treeOutside, work.directory, String(index)));
      const outcomes = work.outcomes(index);
      const least = await this.#expect(sequence.slice(0, outcomes.length));
      if (found === least) continue;
      const next = await this.#expect(sequence.slice(0, outcomes.length + 1));
      const text = `${sequence.join(', ')} (answered: ${outcomes.join(', ')})`;
      assert.equal(found, next, `${text}: ${survivor.name} does not hold what was acknowledged, which is\n${least}\n`);
    }
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
