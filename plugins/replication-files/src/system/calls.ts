/**
 * System calls that Node lacks, or has only in a form that is too slow for a data path (exceptions, path strings, allocation). Each
 * function returns what the call returns, or `-errno`: never throws for an operating error. Names and paths are Buffers that end with NUL.
 */
import koffi from 'koffi';

const libc = koffi.load('libc.so.6');

type Bytes = Uint8Array | null;
type Native = (...values: unknown[]) => number;

function bind(prototype: string): Native {
  return libc.func(prototype) as Native;
}

const closeC = bind('int close(int)');
const readC = bind('int64_t read(int, void*, uint64_t)');
const writeC = bind('int64_t write(int, void*, uint64_t)');
const preadC = bind('int64_t pread64(int, void*, uint64_t, int64_t)');
const pwriteC = bind('int64_t pwrite64(int, void*, uint64_t, int64_t)');
const preadv2C = bind('int64_t preadv64v2(int, void*, int, int64_t, int)');
const pwritev2C = bind('int64_t pwritev64v2(int, void*, int, int64_t, int)');
const openatC = bind('int openat(int, void*, int, uint32_t)');
const openC = bind('int open(void*, int, uint32_t)');
const openByHandleC = bind('int open_by_handle_at(int, void*, int)');
const nameToHandleC = bind('int name_to_handle_at(int, void*, void*, void*, int)');
const statxC = bind('int statx(int, void*, int, uint32_t, void*)');
const readlinkatC = bind('int64_t readlinkat(int, void*, void*, uint64_t)');
const symlinkatC = bind('int symlinkat(void*, int, void*)');
const mkdiratC = bind('int mkdirat(int, void*, uint32_t)');
const mknodatC = bind('int mknodat(int, void*, uint32_t, uint64_t)');
const unlinkatC = bind('int unlinkat(int, void*, int)');
const renameat2C = bind('int renameat2(int, void*, int, void*, uint32_t)');
const linkatC = bind('int linkat(int, void*, int, void*, int)');
const fchownatC = bind('int fchownat(int, void*, uint32_t, uint32_t, int)');
const chmodC = bind('int chmod(void*, uint32_t)');
const fchmodC = bind('int fchmod(int, uint32_t)');
const ftruncateC = bind('int ftruncate64(int, int64_t)');
const utimensatC = bind('int utimensat(int, void*, void*, int)');
const fsyncC = bind('int fsync(int)');
const fdatasyncC = bind('int fdatasync(int)');
const syncfsC = bind('int syncfs(int)');
const syncFileRangeC = bind('int sync_file_range(int, int64_t, int64_t, uint32_t)');
const getdentsC = bind('int64_t getdents64(int, void*, uint64_t)');
const lseekC = bind('int64_t lseek64(int, int64_t, int)');
const fallocateC = bind('int fallocate64(int, int, int64_t, int64_t)');
const fstatvfsC = bind('int fstatvfs64(int, void*)');
const fsetxattrC = bind('int fsetxattr(int, void*, void*, uint64_t, int)');
const fgetxattrC = bind('int64_t fgetxattr(int, void*, void*, uint64_t)');
const setxattrC = bind('int setxattr(void*, void*, void*, uint64_t, int)');
const getxattrC = bind('int64_t getxattr(void*, void*, void*, uint64_t)');
const flistxattrC = bind('int64_t flistxattr(int, void*, uint64_t)');
const listxattrC = bind('int64_t listxattr(void*, void*, uint64_t)');
const fremovexattrC = bind('int fremovexattr(int, void*)');
const removexattrC = bind('int removexattr(void*, void*)');
const posixFadviseC = bind('int posix_fadvise64(int, int64_t, int64_t, int)');
const setfsgidC = bind('int setfsgid(uint32_t)');
const umaskC = bind('uint32_t umask(uint32_t)');
const mountC = bind('int mount(void*, void*, void*, uint64_t, void*)');
const umount2C = bind('int umount2(void*, int)');
const prctlC = bind('int prctl(int, uint64_t, uint64_t, uint64_t, uint64_t)');
const epollCreateC = bind('int epoll_create1(int)');
const epollCtlC = bind('int epoll_ctl(int, int, int, void*)');
const epollWaitC = bind('int epoll_wait(int, void*, int, int)');
const eventfdC = bind('int eventfd(uint32_t, int)');
const socketC = bind('int socket(int, int, int)');
const connectC = bind('int connect(int, void*, uint32_t)');
const bindC = bind('int bind(int, void*, uint32_t)');
const listenC = bind('int listen(int, int)');
const acceptC = bind('int accept4(int, void*, void*, int)');
const setsockoptC = bind('int setsockopt(int, int, int, void*, uint32_t)');
const getsockoptC = bind('int getsockopt(int, int, int, void*, void*)');
const ioctlC = bind('int ioctl(int, uint64_t, int64_t)');
const sendC = bind('int64_t send(int, void*, uint64_t, int)');

const FICLONE = 0x40049409;

function result(value: number): number {
  return value < 0 ? -koffi.errno() : value;
}

export const close = (fd: number): number => result(closeC(fd));
export const read = (fd: number, into: Uint8Array, length: number): number => result(readC(fd, into, length));
export const write = (fd: number, from: Uint8Array, length: number): number => result(writeC(fd, from, length));
export const pread = (fd: number, into: Uint8Array, length: number, offset: number): number => result(preadC(fd, into, length, offset));
export const pwrite = (fd: number, from: Uint8Array, length: number, offset: number): number => result(pwriteC(fd, from, length, offset));
/** @param vector one `struct iovec`, see `ioVector`. */
export const preadv2 = (fd: number, vector: Uint8Array, offset: number, flags: number): number =>
  result(preadv2C(fd, vector, 1, offset, flags));
export const pwritev2 = (fd: number, vector: Uint8Array, offset: number, flags: number): number =>
  result(pwritev2C(fd, vector, 1, offset, flags));
export const openat = (fd: number, path: Uint8Array, flags: number, mode: number): number => result(openatC(fd, path, flags, mode));
/** `mountFd`: any real (not O_PATH) descriptor on the same file system. */
export const openByHandleAt = (mountFd: number, handle: Uint8Array, flags: number): number => result(openByHandleC(mountFd, handle, flags));
export const nameToHandleAt = (fd: number, path: Uint8Array, handle: Uint8Array, mountId: Uint8Array, flags: number): number =>
  result(nameToHandleC(fd, path, handle, mountId, flags));
export const statx = (fd: number, path: Uint8Array, flags: number, mask: number, into: Uint8Array): number =>
  result(statxC(fd, path, flags, mask, into));
export const readlinkat = (fd: number, path: Uint8Array, into: Uint8Array, length: number): number =>
  result(readlinkatC(fd, path, into, length));
export const symlinkat = (target: Uint8Array, fd: number, path: Uint8Array): number => result(symlinkatC(target, fd, path));
export const mkdirat = (fd: number, path: Uint8Array, mode: number): number => result(mkdiratC(fd, path, mode));
export const mknodat = (fd: number, path: Uint8Array, mode: number, device: number): number => result(mknodatC(fd, path, mode, device));
export const unlinkat = (fd: number, path: Uint8Array, flags: number): number => result(unlinkatC(fd, path, flags));
export const renameat2 = (fromFd: number, from: Uint8Array, toFd: number, to: Uint8Array, flags: number): number =>
  result(renameat2C(fromFd, from, toFd, to, flags));
export const linkat = (fromFd: number, from: Uint8Array, toFd: number, to: Uint8Array, flags: number): number =>
  result(linkatC(fromFd, from, toFd, to, flags));
/** 0xffffffff leaves that owner unchanged. */
export const fchownat = (fd: number, path: Uint8Array, uid: number, gid: number, flags: number): number =>
  result(fchownatC(fd, path, uid >>> 0, gid >>> 0, flags));
export const chmod = (path: Uint8Array, mode: number): number => result(chmodC(path, mode));
export const fchmod = (fd: number, mode: number): number => result(fchmodC(fd, mode));
export const ftruncate = (fd: number, size: number): number => result(ftruncateC(fd, size));
/** `times`: two `struct timespec` (atime, mtime), 32 bytes. */
export const utimensat = (fd: number, path: Uint8Array, times: Uint8Array, flags: number): number =>
  result(utimensatC(fd, path, times, flags));
export const fsync = (fd: number): number => result(fsyncC(fd));
export const fdatasync = (fd: number): number => result(fdatasyncC(fd));
export const syncfs = (fd: number): number => result(syncfsC(fd));
export const syncFileRange = (fd: number, offset: number, length: number, flags: number): number =>
  result(syncFileRangeC(fd, offset, length, flags));
export const getdents64 = (fd: number, into: Uint8Array, length: number): number => result(getdentsC(fd, into, length));
/** Offsets of directories are hashes that exceed 2^53: those are passed as bigint. */
export const lseek = (fd: number, offset: number | bigint, whence: number): number => result(lseekC(fd, offset, whence));
export const fallocate = (fd: number, mode: number, offset: number, length: number): number => result(fallocateC(fd, mode, offset, length));
export const fstatvfs = (fd: number, into: Uint8Array): number => result(fstatvfsC(fd, into));
export const fsetxattr = (fd: number, name: Uint8Array, value: Uint8Array, length: number, flags: number): number =>
  result(fsetxattrC(fd, name, value, length, flags));
/** `length` 0 asks for the size. */
export const fgetxattr = (fd: number, name: Uint8Array, into: Bytes, length: number): number => result(fgetxattrC(fd, name, into, length));
export const setxattr = (path: Uint8Array, name: Uint8Array, value: Uint8Array, length: number, flags: number): number =>
  result(setxattrC(path, name, value, length, flags));
export const getxattr = (path: Uint8Array, name: Uint8Array, into: Bytes, length: number): number =>
  result(getxattrC(path, name, into, length));
export const flistxattr = (fd: number, into: Uint8Array, length: number): number => result(flistxattrC(fd, into, length));
export const listxattr = (path: Uint8Array, into: Uint8Array, length: number): number => result(listxattrC(path, into, length));
export const fremovexattr = (fd: number, name: Uint8Array): number => result(fremovexattrC(fd, name));
export const removexattr = (path: Uint8Array, name: Uint8Array): number => result(removexattrC(path, name));
/** Unlike the others it returns the error number itself. */
export const posixFadvise = (fd: number, offset: number, length: number, advice: number): number =>
  -posixFadviseC(fd, offset, length, advice);
/** Group of files that this thread creates, for directories without setgid. Keeps the capabilities, unlike setfsuid. */
export const setfsgid = (gid: number): number => setfsgidC(gid);
export const umask = (mask: number): number => umaskC(mask);
export const mount = (source: Bytes, target: Uint8Array, type: Bytes, flags: number, data: Bytes): number =>
  result(mountC(source, target, type, flags, data));
export const umount2 = (target: Uint8Array, flags: number): number => result(umount2C(target, flags));
/** Runs on another thread: what the kernel asks meanwhile, this process itself must answer. */
function withoutBlocking(native: Native, ...values: unknown[]): Promise<number> {
  return new Promise((resolve) => {
    (native as unknown as { async: (...all: unknown[]) => void }).async(...values, (_error: unknown, value: number) => {
      resolve(result(value));
    });
  });
}
/** Writes back what the kernel still holds. */
export const umountWithoutBlocking = (target: Uint8Array, flags: number): Promise<number> => withoutBlocking(umount2C, target, flags);
export const openWithoutBlocking = (path: Uint8Array, flags: number): Promise<number> => withoutBlocking(openC, path, flags, 0);
export const syncfsWithoutBlocking = (fd: number): Promise<number> => withoutBlocking(syncfsC, fd);
export const prctl = (option: number, value: number): number => result(prctlC(option, value, 0, 0, 0));
export const epollCreate = (): number => result(epollCreateC(0o2000000));
/** @param event 12 bytes on x64 (packed), 16 elsewhere: see `EpollSet`. */
export const epollCtl = (epoll: number, operation: number, fd: number, event: Uint8Array): number =>
  result(epollCtlC(epoll, operation, fd, event));
export const epollWait = (epoll: number, events: Uint8Array, count: number, timeoutMs: number): number =>
  result(epollWaitC(epoll, events, count, timeoutMs));
export const eventfd = (flags: number): number => result(eventfdC(0, flags));
export const socket = (domain: number, type: number): number => result(socketC(domain, type, 0));
export const connect = (fd: number, address: Uint8Array): number => result(connectC(fd, address, address.length));
export const bindSocket = (fd: number, address: Uint8Array): number => result(bindC(fd, address, address.length));
export const listen = (fd: number, backlog: number): number => result(listenC(fd, backlog));
export const accept = (fd: number, flags: number): number => result(acceptC(fd, null, null, flags));
export const setsockopt = (fd: number, level: number, name: number, value: Uint8Array): number =>
  result(setsockoptC(fd, level, name, value, value.length));
export const getsockopt = (fd: number, level: number, name: number, into: Uint8Array, length: Uint8Array): number =>
  result(getsockoptC(fd, level, name, into, length));
/** Makes all of `to` share the blocks of `from`. */
export const cloneFile = (to: number, from: number): number => result(ioctlC(to, FICLONE, from));
export const send = (fd: number, from: Uint8Array, length: number, flags: number): number => result(sendC(fd, from, length, flags));

/** A `struct iovec` of a buffer that stays where it is (allocated outside Node's pool and kept alive by the caller). */
export function ioVector(buffer: Uint8Array, length: number): Buffer {
  const vector = Buffer.alloc(16);
  pointVector(vector, buffer, length);
  return vector;
}

/** Lets a vector point to another buffer. */
export function pointVector(vector: Buffer, buffer: Uint8Array, length: number): void {
  vector.writeBigUInt64LE(koffi.address(buffer), 0);
  vector.writeBigUInt64LE(BigInt(length), 8);
}

/** NUL-terminated copy of a path or name. */
export function cString(text: string | Uint8Array): Buffer {
  const bytes = typeof text === 'string' ? Buffer.from(text) : text;
  const out = Buffer.alloc(bytes.length + 1);
  out.set(bytes);
  return out;
}
