/**
 * Extended attributes of backing objects. Names are latin1 strings of their bytes. Only those that are replicated can be seen or changed
 * here; the object's own id has calls of its own. Results are numbers: 0 or more is success, `-errno` is failure.
 */
import * as sys from '../system/calls.js';
import { ENODATA, EOPNOTSUPP, EPERM, ERANGE } from '../system/errno.js';
import { XATTR_LIST_BYTES_MAX, XATTR_VALUE_BYTES_MAX } from '../wire/limits.js';
import { isAcl, isOwnXattr, isReplicatedXattr } from '../wire/xattr-names.js';
import type { Descriptors } from './descriptors.js';
import { isDirectory, isRegular, type Handle } from './handle.js';

const ID_XATTR = sys.cString('trusted.holdfast.id');
/** What `list` shows of an object that has nothing but its id. */
const ONLY_ID = ID_XATTR.toString('latin1');
/** The kernel allocates what is asked for. */
const LIST_BYTES_EXPECTED = 1024;

const ID_BYTES = 8;
const ERA_BYTES = 4;
/** Room that the functions below need as scratch. */
export const ID_XATTR_BYTES_MAX = ID_BYTES + ERA_BYTES;

/** The object's id from its descriptor; 0n: it has none; or -errno. */
export function readIdOf(fd: number, handle: Handle, scratch: Buffer): bigint {
  const outcome = getOf(fd, handle, ID_XATTR, scratch, ID_XATTR_BYTES_MAX);
  if (outcome === -ENODATA) return 0n;
  if (outcome < 0) return BigInt(outcome);
  return outcome === ID_BYTES || outcome === ID_XATTR_BYTES_MAX ? scratch.readBigUInt64LE(0) : 0n;
}

/** The era behind the id; 0: none. */
export function readEraOf(fd: number, handle: Handle, scratch: Buffer): number {
  const outcome = getOf(fd, handle, ID_XATTR, scratch, ID_XATTR_BYTES_MAX);
  return outcome === ID_XATTR_BYTES_MAX ? scratch.readUInt32LE(ID_BYTES) : 0;
}

/** @returns 0 or -errno */
export function writeIdOf(fd: number, handle: Handle, id: bigint, era: number, scratch: Buffer): number {
  scratch.writeBigUInt64LE(id, 0);
  scratch.writeUInt32LE(era, ID_BYTES);
  return setOf(fd, handle, ID_XATTR, scratch, era === 0 ? ID_BYTES : ID_XATTR_BYTES_MAX, 0);
}

/** For calls that take no descriptor opened as O_PATH: the link leads to the object itself, symlinks included. */
export function procPath(fd: number): Buffer {
  return Buffer.from(`/proc/self/fd/${fd}\0`);
}

export class Xattrs {
  /** Told of every object before an attribute of it is changed. */
  beforeChange: ((handle: Handle) => void) | undefined;
  /** Whether what failed may be tried again: room was made. */
  canRepeat: ((outcome: number) => boolean) | undefined;
  readonly #descriptors: Descriptors;
  readonly #names = Buffer.from(new ArrayBuffer(XATTR_LIST_BYTES_MAX));
  readonly #value = Buffer.from(new ArrayBuffer(XATTR_VALUE_BYTES_MAX));

  constructor(descriptors: Descriptors) {
    this.#descriptors = descriptors;
  }

  /** @param length 0: only the size is wanted @returns bytes of the value, or -errno (ENODATA, ERANGE: `length` is too small) */
  get(handle: Handle, name: string, into: Uint8Array, length: number): number {
    if (isOwnXattr(name)) return -ENODATA;
    if (!isReplicatedXattr(name)) return -EOPNOTSUPP;
    const fd = this.#descriptors.get(handle);
    if (fd < 0) return fd;
    const outcome = getOf(fd, handle, cName(name), length === 0 ? null : into, length);
    // "There is no ACL": the kernel takes anything else as a failure of the permission check that it asks for.
    return outcome === -EOPNOTSUPP && isAcl(name) ? -ENODATA : outcome;
  }

  /** The whole value, as a copy; or -errno. */
  value(handle: Handle, name: string): Buffer | number {
    const outcome = this.get(handle, name, this.#value, this.#value.length);
    return outcome < 0 ? outcome : Buffer.from(this.#value.subarray(0, outcome));
  }

  /** @param flags 0, XATTR_CREATE or XATTR_REPLACE @returns 0 or -errno */
  set(handle: Handle, name: string, value: Uint8Array, flags: number): number {
    const refused = refusal(name);
    if (refused !== 0) return -refused;
    this.beforeChange?.(handle);
    for (;;) {
      const fd = this.#descriptors.get(handle);
      const outcome = fd < 0 ? fd : setOf(fd, handle, cName(name), value, value.length, flags);
      if (outcome >= 0 || this.canRepeat?.(outcome) !== true) return outcome;
    }
  }

  /** @returns 0 or -errno (ENODATA: there is none of this name) */
  remove(handle: Handle, name: string): number {
    const refused = refusal(name);
    if (refused !== 0) return -refused;
    this.beforeChange?.(handle);
    const fd = this.#descriptors.get(handle);
    if (fd < 0) return fd;
    return hasPlainDescriptor(handle) ? sys.fremovexattr(fd, cName(name)) : sys.removexattr(procPath(fd), cName(name));
  }

  /** Names of all replicated attributes, or -errno. */
  names(handle: Handle): string[] | number {
    const fd = this.#descriptors.get(handle);
    if (fd < 0) return fd;
    let length = listOf(fd, handle, this.#names, LIST_BYTES_EXPECTED);
    if (length === -ERANGE) length = listOf(fd, handle, this.#names, this.#names.length);
    if (length === -EOPNOTSUPP || length === 0) return [];
    if (length < 0) return length;
    const list = this.#names.toString('latin1', 0, length);
    return list === ONLY_ID ? [] : list.slice(0, -1).split('\0').filter(isReplicatedXattr);
  }

  /**
   * As listxattr(2) for an application.
   * @param length 0: only the size is wanted @param isPrivileged `trusted.*` too @returns bytes, or -errno (ERANGE)
   */
  list(handle: Handle, into: Buffer, length: number, isPrivileged: boolean): number {
    const names = this.names(handle);
    if (typeof names === 'number') return names;
    const text = names.map((name) => (isPrivileged || !name.startsWith('trusted.') ? `${name}\0` : '')).join('');
    if (length === 0) return text.length;
    return text.length > length ? -ERANGE : into.write(text, 0, 'latin1');
  }
}

/** Why an attribute cannot be changed; 0 when it can. */
export function refusal(name: string): number {
  if (isOwnXattr(name)) return EPERM;
  return isReplicatedXattr(name) ? 0 : EOPNOTSUPP;
}

function listOf(fd: number, handle: Handle, into: Buffer, length: number): number {
  return hasPlainDescriptor(handle) ? sys.flistxattr(fd, into, length) : sys.listxattr(procPath(fd), into, length);
}

function hasPlainDescriptor(handle: Handle): boolean {
  return isRegular(handle) || isDirectory(handle);
}

function getOf(fd: number, handle: Handle, name: Buffer, into: Uint8Array | null, length: number): number {
  return hasPlainDescriptor(handle) ? sys.fgetxattr(fd, name, into, length) : sys.getxattr(procPath(fd), name, into, length);
}

function setOf(fd: number, handle: Handle, name: Buffer, value: Uint8Array, length: number, flags: number): number {
  return hasPlainDescriptor(handle)
    ? sys.fsetxattr(fd, name, value, length, flags)
    : sys.setxattr(procPath(fd), name, value, length, flags);
}

function cName(name: string): Buffer {
  return Buffer.from(`${name}\0`, 'latin1');
}
