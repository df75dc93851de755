/**
 * File handles: the name of an object that survives renames, restarts and the loss of every descriptor. A handle is a latin1 string
 * (usable as a Map key): one byte of root index, one byte of file type (an inode never changes it, and opening needs it: a device must
 * not be opened by accident), then `handle_type` and the opaque bytes of name_to_handle_at(2).
 */
import { nameToHandleAt, openByHandleAt } from '../system/calls.js';
import { AT_EMPTY_PATH, O_CLOEXEC, O_DIRECTORY, O_NOATIME, O_NOFOLLOW, O_PATH, O_RDONLY, O_RDWR } from '../system/constants.js';
import { EACCES, EPERM, EROFS, ETXTBSY } from '../system/errno.js';

export type Handle = string;

const HANDLE_BYTES_MAX = 128;
const TYPE_DIRECTORY = 4;
const TYPE_REGULAR = 8;

// `struct file_handle` starts at 4; the key starts at 6: root and type take the place of two bytes of handle_bytes that are always 0.
const STRUCT_AT = 4;
const KEY_AT = 6;
const BYTES_AT = 12;
const raw = Buffer.from(new ArrayBuffer(BYTES_AT + HANDLE_BYTES_MAX));
const struct = raw.subarray(STRUCT_AT);
const mountId = Buffer.from(new ArrayBuffer(8));
const EMPTY = Buffer.from('\0');

/** @param type the object's S_IFMT bits @returns the handle, or -errno */
export function handleAt(root: number, fd: number, name: Uint8Array, type: number): Handle | number {
  return take(root, nameOrEmpty(fd, name, 0), type);
}

/** @returns the handle of an open object, or -errno */
export function handleOf(root: number, fd: number, type: number): Handle | number {
  return take(root, nameOrEmpty(fd, EMPTY, AT_EMPTY_PATH), type);
}

function nameOrEmpty(fd: number, name: Uint8Array, flags: number): number {
  raw.writeUInt32LE(HANDLE_BYTES_MAX, STRUCT_AT);
  return nameToHandleAt(fd, name, struct, mountId, flags);
}

function take(root: number, outcome: number, type: number): Handle | number {
  if (outcome < 0) return outcome;
  const length = raw.readUInt32LE(STRUCT_AT);
  raw[KEY_AT] = root;
  raw[KEY_AT + 1] = type >>> 12;
  return raw.toString('latin1', KEY_AT, BYTES_AT + length);
}

/** Index of the replicated directory that the object belongs to. */
export function rootOf(handle: Handle): number {
  return handle.charCodeAt(0);
}

/** S_IFMT bits. */
export function typeOf(handle: Handle): number {
  return handle.charCodeAt(1) << 12;
}

export function isDirectory(handle: Handle): boolean {
  return handle.charCodeAt(1) === TYPE_DIRECTORY;
}

export function isRegular(handle: Handle): boolean {
  return handle.charCodeAt(1) === TYPE_REGULAR;
}

/**
 * Opens by handle: regular files read-write (read-only where that is refused), directories for reading, everything else as O_PATH.
 * @returns a descriptor, or -errno (ESTALE: the object is gone)
 */
export function openHandle(mountFd: number, handle: Handle): number {
  if (!isRegular(handle)) {
    const flags = isDirectory(handle) ? O_RDONLY | O_DIRECTORY | O_NOATIME : O_PATH;
    return openRaw(mountFd, handle, flags | O_NOFOLLOW | O_CLOEXEC);
  }
  const fd = openRaw(mountFd, handle, O_RDWR | O_NOFOLLOW | O_NOATIME | O_CLOEXEC);
  if (fd !== -EACCES && fd !== -EPERM && fd !== -EROFS && fd !== -ETXTBSY) return fd;
  return openRaw(mountFd, handle, O_RDONLY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC);
}

function openRaw(mountFd: number, handle: Handle, flags: number): number {
  raw.write(handle, KEY_AT, 'latin1');
  raw.writeUInt32LE(handle.length - (BYTES_AT - KEY_AT), STRUCT_AT);
  return openByHandleAt(mountFd, struct, flags);
}
