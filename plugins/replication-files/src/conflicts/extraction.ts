/**
 * Copies what was kept to a folder of the operator's: below it the whole path, with owner, permissions, times, extended attributes, holes
 * and hard links. Content is compared with its digest. Nothing that exists is overwritten; directories that exist are used.
 */
import { createHash } from 'node:crypto';
import { link, mkdir, open, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { HoldfastError, messageOf } from '@holdfast/sdk';
import { chmod, cString, fchownat, mknodat, setxattr, utimensat } from '../system/calls.js';
import { AT_FDCWD, AT_SYMLINK_NOFOLLOW, S_IFBLK, S_IFCHR, S_IFIFO, S_IFSOCK } from '../system/constants.js';
import { errnoName } from '../system/errno.js';
import { OBJECTS, pathBytes, type KeptObject } from './format.js';

const BLOCK_BYTES = 64 << 10;
const ZEROS = Buffer.alloc(BLOCK_BYTES);
const SECOND_NS = 1_000_000_000n;
const SPECIAL: Readonly<Partial<Record<KeptObject['kind'], number>>> = {
  fifo: S_IFIFO,
  socket: S_IFSOCK,
  character: S_IFCHR,
  block: S_IFBLK,
};

export class Extraction {
  readonly #folder: string;
  readonly #byNumber: ReadonlyMap<number, KeptObject>;
  readonly #to: Buffer;
  /** Where an object went: hard links of it. */
  readonly #done = new Map<number, Buffer>();
  objects = 0;
  bytes = 0;

  constructor(folder: string, all: readonly KeptObject[], to: string) {
    this.#folder = folder;
    this.#byNumber = new Map(all.map((object) => [object.number, object]));
    this.#to = Buffer.from(to);
  }

  /** @throws HoldfastError HF_CONFLICT_EXTRACT, HF_CONFLICT_DAMAGED: what was extracted before stays */
  async run(chosen: readonly KeptObject[], progress: () => void): Promise<void> {
    const directories: { readonly object: KeptObject; readonly path: Buffer }[] = [];
    for (const object of chosen) {
      // What was overwritten in its attributes alone has its content in the tree still.
      if (object.kind === 'file' && object.digest === undefined && object.linkTo === undefined) continue;
      const path = Buffer.concat([this.#to, pathBytes(object)]);
      try {
        await mkdir(path.subarray(0, path.lastIndexOf(0x2f)), { recursive: true });
        await this.#make(object, path);
      } catch (error) {
        if (error instanceof HoldfastError) throw error;
        throw new HoldfastError('HF_CONFLICT_EXTRACT', `${object.path}: ${messageOf(error)}`, { path: object.path });
      }
      if (object.kind === 'directory') directories.push({ object, path });
      this.objects += 1;
      progress();
    }
    // Last: whatever was made in them has changed their times.
    for (const { object, path } of directories.reverse()) applyAttributes(object, path);
  }

  async #make(object: KeptObject, path: Buffer): Promise<void> {
    const { kind, linkTo } = object;
    if (linkTo !== undefined) {
      const present = this.#done.get(linkTo);
      const original = this.#byNumber.get(linkTo);
      if (present !== undefined) await link(present, path);
      // Its first name was not asked for.
      else if (original !== undefined) await this.#make({ ...original, path: object.path }, path);
      return;
    }
    if (kind === 'directory') {
      await mkdir(path, { recursive: true, mode: 0o700 });
      return;
    }
    if (kind === 'file') await this.#copy(object, path);
    else if (kind === 'symlink') await symlink(Buffer.from(object.target ?? '', 'base64'), path);
    else must(object, mknodat(AT_FDCWD, cString(path), (SPECIAL[kind] ?? 0) | 0o600, object.rdev ?? 0));
    applyAttributes(object, path);
    this.#done.set(object.number, path);
  }

  async #copy(object: KeptObject, path: Buffer): Promise<void> {
    const source = join(this.#folder, OBJECTS, String(object.number));
    const digest = await copySparse(source, path);
    if (digest !== object.digest) {
      throw new HoldfastError('HF_CONFLICT_DAMAGED', `the kept content of ${object.path} is damaged: a broken disk, or it was edited`);
    }
    this.bytes += object.size;
  }
}

/** Zeros become holes. @returns SHA-256 of what was read, hexadecimal */
async function copySparse(source: string, path: Buffer): Promise<string> {
  const from = await open(source, 'r');
  try {
    const to = await open(path, 'wx', 0o600);
    try {
      const hash = createHash('sha256');
      const block = Buffer.alloc(BLOCK_BYTES);
      let at = 0;
      for (;;) {
        const { bytesRead } = await from.read(block, 0, BLOCK_BYTES, at);
        if (bytesRead === 0) break;
        const data = block.subarray(0, bytesRead);
        hash.update(data);
        if (!data.equals(ZEROS.subarray(0, bytesRead))) await to.writev([data], at);
        at += bytesRead;
      }
      await to.truncate(at);
      await to.sync();
      return hash.digest('hex');
    } finally {
      await to.close();
    }
  } finally {
    await from.close();
  }
}

/** Owner first: a change of owner clears the bits of setuid and setgid, and capabilities. */
function applyAttributes(object: KeptObject, path: Buffer): void {
  const { kind, mode, uid, gid, atimeNs, mtimeNs, xattrs } = object;
  const target = cString(path);
  must(object, fchownat(AT_FDCWD, target, uid, gid, AT_SYMLINK_NOFOLLOW));
  for (const [name, value] of Object.entries(xattrs ?? {})) {
    const bytes = Buffer.from(value, 'base64');
    // Of a symbolic link, which has attributes of the system only: they cannot be set by path.
    if (kind !== 'symlink') must(object, setxattr(target, Buffer.from(`${name}\0`, 'latin1'), bytes, bytes.length, 0));
  }
  if (kind !== 'symlink') must(object, chmod(target, mode));
  must(object, utimensat(AT_FDCWD, target, timesOf(BigInt(atimeNs), BigInt(mtimeNs)), AT_SYMLINK_NOFOLLOW));
}

function timesOf(atimeNs: bigint, mtimeNs: bigint): Buffer {
  const times = Buffer.alloc(32);
  [atimeNs, mtimeNs].forEach((ns, index) => {
    const rest = ((ns % SECOND_NS) + SECOND_NS) % SECOND_NS;
    times.writeBigInt64LE((ns - rest) / SECOND_NS, 16 * index);
    times.writeBigInt64LE(rest, 16 * index + 8);
  });
  return times;
}

function must({ path }: KeptObject, outcome: number): void {
  if (outcome < 0) throw new HoldfastError('HF_CONFLICT_EXTRACT', `${path}: ${errnoName(outcome)}`, { path });
}
