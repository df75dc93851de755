/** Memory in an anonymous file: it outlives the process that wrote it as long as another one keeps the descriptor. */
import koffi from 'koffi';

const libc = koffi.load('libc.so.6');
const memfdC = libc.func('int memfd_create(void*, uint32_t)') as (...values: unknown[]) => number;
const ftruncateC = libc.func('int ftruncate64(int, int64_t)') as (...values: unknown[]) => number;
const mmapC = libc.func('void *mmap64(void*, uint64_t, int, int, int, int64_t)') as (...values: unknown[]) => unknown;

const MFD_CLOEXEC = 1;
const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;
const MAP_FAILED = 0xffffffffffffffffn;

/** A new file of zeros; pages cost memory only once they are written. @returns its descriptor, or -errno */
export function createMemory(name: string, bytes: number): number {
  const fd = memfdC(Buffer.from(`${name}\0`), MFD_CLOEXEC);
  if (fd < 0 || ftruncateC(fd, bytes) < 0) return -koffi.errno();
  return fd;
}

/** All of it, for as long as this process lives. @returns -errno when it cannot be mapped */
export function mapMemory(fd: number, bytes: number): ArrayBuffer | number {
  const address = mmapC(null, bytes, PROT_READ_WRITE, MAP_SHARED, fd, 0);
  if (address === null || BigInt.asUintN(64, address as bigint) === MAP_FAILED) return -koffi.errno();
  return koffi.view(address, bytes);
}
