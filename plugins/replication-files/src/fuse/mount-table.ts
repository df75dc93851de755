/** What is mounted, from /proc/self/mountinfo, and who still uses a mount. Reads only /proc: never waits for a file system. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

export interface MountEntry {
  readonly id: number;
  readonly path: string;
  readonly type: string;
  /** `major:minor` of the file system. */
  readonly device: string;
}

export interface Holder {
  readonly pid: number;
  readonly command: string;
}

/** All mounts of this namespace, in the order in which they were made. */
export function readMounts(): MountEntry[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map(parseMount);
}

/** One line: `36 35 98:0 /root /mount/point rw,noatime master:1 - ext3 /dev/sda1 rw`. */
export function parseMount(line: string): MountEntry {
  const [left = '', right = ''] = line.split(' - ');
  const [id = '', , device = '', , path = ''] = left.split(' ');
  return { id: Number(id), device, path: unescape(path), type: right.split(' ')[0] ?? '' };
}

function unescape(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}

/** Mount points below `directory`, not itself. */
export function mountsBelow(directory: string): string[] {
  return readMounts()
    .map((mount) => mount.path)
    .filter((path) => path.startsWith(directory === '/' ? '/' : `${directory}/`));
}

/**
 * Processes that keep a mount busy: open files, working and root directories, mapped files. Asks only /proc, whose answers carry the
 * mount (fdinfo) or the device (maps); processes that end meanwhile are passed over.
 */
export function findHolders(mount: MountEntry): Holder[] {
  const holders: Holder[] = [];
  for (const entry of readdirSync('/proc')) {
    const pid = Number(entry);
    if (!Number.isInteger(pid) || pid === process.pid || !isHolder(pid, mount)) continue;
    holders.push({ pid, command: commandOf(pid) });
  }
  return holders;
}

function isHolder(pid: number, mount: MountEntry): boolean {
  const below = (link: string): boolean => {
    const target = attempt(() => readlinkSync(`/proc/${pid}/${link}`), '');
    return target === mount.path || target.startsWith(`${mount.path}/`);
  };
  if (below('cwd') || below('root')) return true;
  for (const fd of attempt(() => readdirSync(`/proc/${pid}/fdinfo`), [])) {
    const info = attempt(() => readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8'), '');
    if (new RegExp(`^mnt_id:\\s*${mount.id}$`, 'm').test(info)) return true;
  }
  // A line of maps: `7f0c… r--p 00000000 08:01 1234 /path`; the device is hexadecimal there, decimal in mountinfo.
  const device = mount.device
    .split(':')
    .map((part) => Number(part).toString(16).padStart(2, '0'))
    .join(':');
  return attempt(() => readFileSync(`/proc/${pid}/maps`, 'utf8'), '').includes(` ${device} `);
}

function commandOf(pid: number): string {
  return attempt(() => readFileSync(`/proc/${pid}/comm`, 'utf8').trim(), '?');
}

function attempt<T>(act: () => T, otherwise: T): T {
  try {
    return act();
  } catch {
    return otherwise;
  }
}
