/**
 * Nodes with disks of their own: ext4 in an image. A power cut stops the node's processes, shuts the file system down without writing
 * anything more, then kills them: what was not synced is lost, in the data as well as in the state. The next start is another boot.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Lab, type LabNode, run, signal, until } from './lab.js';

/** So much that a secondary acknowledges writes before it has applied them. */
const IMAGE_MIB = 1024;
const RELEASE_MS = 60_000;
/** EXT4_IOC_SHUTDOWN without flushing the journal. */
const SHUT_DOWN = `perl -e 'open(my $root, "<", $ARGV[0]) or die $!; my $flag = pack("L", 2); ioctl($root, 0x8004587d, $flag) or die $!;'`;

export class CrashDisks {
  readonly #base: string;

  constructor(lab: Lab) {
    this.#base = lab.base;
  }

  /** Makes the disk. @returns the shell command that gives it to the node */
  async prepare(name: string): Promise<string> {
    const [image, boot] = [this.#path(name, 'img'), this.#path(name, 'boot')];
    mkdirSync(join(this.#base, name), { recursive: true });
    writeFileSync(boot, `${randomUUID()}\n`);
    const { code, output } = await run(`truncate -s ${IMAGE_MIB}M ${image} && mkfs.ext4 -q -F -E nodiscard -m 0 ${image}`);
    assert.equal(code, 0, output);
    const disk = `mount -o loop,noatime '${image}' "$DIR/.." && mkdir -p "$DIR" "$DIR/../state"`;
    return `${disk} && mount --bind '${boot}' /proc/sys/kernel/random/boot_id`;
  }

  /** All of them at one moment. */
  async cutPower(nodes: readonly LabNode[]): Promise<void> {
    for (const { agentPid, replicatorPid } of nodes) for (const pid of [agentPid, replicatorPid]) signal(pid, 'SIGSTOP');
    for (const node of nodes) {
      const { code, output } = await run(`${SHUT_DOWN} '${node.tree}/..'`, ['nsenter', '-t', String(node.agentPid), '-m']);
      assert.equal(code, 0, output);
      writeFileSync(this.#path(node.name, 'boot'), `${randomUUID()}\n`);
    }
    await Promise.all(nodes.map((node) => node.kill()));
  }

  /** Waits until nobody uses the disk of a node that is down: a process in its mount namespace keeps it mounted. */
  async released(node: LabNode): Promise<void> {
    const image = this.#path(node.name, 'img');
    const isUsed = (): boolean =>
      readdirSync('/sys/block').some((device) => {
        const file = `/sys/block/${device}/loop/backing_file`;
        try {
          return existsSync(file) && readFileSync(file, 'utf8').startsWith(image);
        } catch {
          return false;
        }
      });
    await until(
      () => !isUsed(),
      () => `${image} to be released`,
      RELEASE_MS,
    );
  }

  #path(name: string, suffix: string): string {
    return join(this.#base, `${name}.${suffix}`);
  }
}
