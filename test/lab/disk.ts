/**
 * A node's disk: a sparse ext4 image on a loop device. The image has no name: it is unlinked before its first byte is written and lives by
 * its descriptor and by the mount, which exists only inside the lab, on a loop device that frees itself (autoclear). So nothing of it can
 * be left behind, however the lab ends. The file system is a real one with journal, extended attributes and fsync that reaches the disk.
 */
import { randomUUID } from 'node:crypto';
import { closeSync, ftruncateSync, openSync, readFileSync, statfsSync, unlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { HoldfastError } from '@holdfast/sdk';
import { waitFor } from './deadline.js';
import type { Supervisor } from './supervisor.js';

const RELEASE_TIMEOUT_MS = 10_000;
/** File system types without a disk below them: fsync would mean nothing. */
const MEMORY_FILE_SYSTEMS = new Set([0x01021994, 0x858458f6]);

const FORMAT = 'mkfs.ext4 -q -F -E nodiscard,lazy_itable_init=1,lazy_journal_init=1 -m 0 /proc/self/fd/3';
const MOUNT = `
mkdir -p "$1"
mount -t ext4 -o loop,noatime /proc/self/fd/3 "$1"
while read -r device point _; do [ "$point" != "$1" ] || echo "$device"; done </proc/mounts
`;
/**
 * $1 mount point, $2 the init of the machine. Three steps, so that no process of the machine acts on what the disk's failure looks like:
 * all stop in one moment, the file system is shut down without flushing its journal (EXT4_IOC_SHUTDOWN: from here on it writes nothing,
 * not even for the overlay mounts that sync when they end), the machine is killed.
 */
const LOSE_POWER = `
nsenter --target "$2" --pid sh -c 'kill -STOP -1'
perl -e 'open(my $root, "<", $ARGV[0]) or die "$ARGV[0]: $!\\n"; my $flag = pack("L", 2);
  ioctl($root, 0x8004587d, $flag) or die "EXT4_IOC_SHUTDOWN: $!\\n";' "$1"
kill -KILL "$2"
`;
/** $1 mount point. From here on every write of the file system is an I/O error; what was not synced is lost. */
const FAIL = `
perl -e 'open(my $root, "<", $ARGV[0]) or die "$ARGV[0]: $!\\n"; my $flag = pack("L", 2);
  ioctl($root, 0x8004587d, $flag) or die "EXT4_IOC_SHUTDOWN: $!\\n";' "$1"
`;

/** What a machine does with its disk, whichever kind it is. */
export interface MachineDisk {
  /** True when others write to the same file system: it cannot lose what was not synced. */
  readonly isShared: boolean;
  losePower(initPid: number): Promise<void>;
  /** Every write is an I/O error from here on, until the power is cut. */
  fail(): Promise<void>;
  recover(): Promise<void>;
  close(): void;
  released(): Promise<void>;
}

export class Disk implements MachineDisk {
  readonly isShared = false;
  readonly #lab: Supervisor;
  readonly #mountPoint: string;
  readonly #imageName: string;
  readonly #descriptor: number;
  #device = '';

  private constructor(lab: Supervisor, mountPoint: string, imageName: string, descriptor: number) {
    this.#lab = lab;
    this.#mountPoint = mountPoint;
    this.#imageName = imageName;
    this.#descriptor = descriptor;
  }

  /** Makes an empty disk and mounts it inside the lab. */
  static async create(lab: Supervisor, mountPoint: string, sizeMb: number): Promise<Disk> {
    const path = join(diskFolder(), `holdfast-lab-${randomUUID()}.img`);
    const descriptor = openSync(path, 'wx+', 0o600);
    unlinkSync(path);
    ftruncateSync(descriptor, sizeMb * 1024 * 1024);
    const disk = new Disk(lab, mountPoint, basename(path), descriptor);
    try {
      await lab.run(`formatting the disk at ${mountPoint}`, FORMAT, [], descriptor);
      await disk.#mount();
    } catch (error) {
      closeSync(descriptor);
      throw error;
    }
    return disk;
  }

  /**
   * What a power cut does: the machine is killed, and everything that it had not synced is lost.
   * @param initPid the machine's init as the lab sees it
   */
  async losePower(initPid: number): Promise<void> {
    await this.#lab.run(`cutting the power of the disk at ${this.#mountPoint}`, LOSE_POWER, [this.#mountPoint, String(initPid)]);
  }

  async fail(): Promise<void> {
    await this.#lab.run(`breaking the disk at ${this.#mountPoint}`, FAIL, [this.#mountPoint]);
  }

  /** Mounts the disk again after losePower and the end of the machine; the file system replays its journal. */
  async recover(): Promise<void> {
    await this.#lab.run(`unmounting ${this.#mountPoint}`, 'umount "$1"', [this.#mountPoint]);
    await this.released(); // the same image must not be mounted twice at the same time
    await this.#mount();
  }

  /** Lets go of the image. Its space is freed when the mount is gone too. */
  close(): void {
    closeSync(this.#descriptor);
  }

  /** Waits until no loop device uses the image. */
  async released(): Promise<void> {
    const file = `/sys/block/${basename(this.#device)}/loop/backing_file`;
    await waitFor(`the kernel to free ${this.#device}`, RELEASE_TIMEOUT_MS, () => {
      try {
        return !readFileSync(file, 'utf8').includes(this.#imageName);
      } catch {
        return true; // a loop device without a file has no such entry
      }
    });
  }

  async #mount(): Promise<void> {
    this.#device = (await this.#lab.run(`mounting the disk at ${this.#mountPoint}`, MOUNT, [this.#mountPoint], this.#descriptor)).trim();
  }
}

/** A folder on a real disk. @throws HF_LAB_DISK when the usual ones are in memory */
function diskFolder(): string {
  const candidates = [tmpdir(), '/var/tmp'];
  const folder = candidates.find((candidate) => !MEMORY_FILE_SYSTEMS.has(statfsSync(candidate).type));
  if (folder !== undefined) return folder;
  throw new HoldfastError('HF_LAB_DISK', `${candidates.join(' and ')} are in memory; set TMPDIR to a folder on a disk`);
}
