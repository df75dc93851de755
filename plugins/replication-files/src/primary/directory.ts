/** READDIR and READDIRPLUS: records of the kernel's getdents64 turned into records of FUSE, without an object per entry. */
import type { FuseDevice, RequestBuffer } from '../fuse/device.js';
import { WRITE_BYTES_MAX } from '../fuse/protocol.js';
import { RESERVED_NAME } from '../store/store.js';
import type { Trees } from './modification.js';
import type { Node } from './node.js';

const ENTRY_BYTES = 128;
/** `fuse_dirent` before its name: ino, offset, name length, type. */
const DIRENT_BYTES = 24;

/** Fills the device's payload. @param isPlus with each entry's attributes, which counts as a lookup @returns bytes or -errno */
export function fillDirectory(trees: Trees, device: FuseDevice, directory: Node, request: RequestBuffer, isPlus: boolean): number {
  const { store, nodes } = trees;
  const room = Math.min(request.word(56), WRITE_BYTES_MAX);
  const out = device.payload;
  const raw = store.rawEntries;
  const isRoot = nodes.isRoot(directory);
  let offset = request.bytes.readBigInt64LE(48);
  let used = 0;
  for (;;) {
    const bytes = store.readRawEntries(directory.handle, offset, raw.length);
    if (bytes <= 0) return used > 0 ? used : bytes;
    for (let at = 0; at < bytes; at += raw.readUInt16LE(at + 16)) {
      const name = raw.subarray(at + 19, raw.indexOf(0, at + 19));
      offset = raw.readBigInt64LE(at + 8);
      if (isRoot && name.equals(RESERVED_NAME)) continue;
      const direntAt = used + (isPlus ? ENTRY_BYTES : 0);
      const end = direntAt + ((DIRENT_BYTES + name.length + 7) & ~7);
      if (end > room) return used;
      if (isPlus) putEntry(trees, device, directory, name, used);
      raw.copy(out, direntAt, at, at + 16);
      out.writeUInt32LE(name.length, direntAt + 16);
      out.writeUInt32LE(raw[at + 18] as number, direntAt + 20);
      name.copy(out, direntAt + DIRENT_BYTES);
      out.fill(0, direntAt + DIRENT_BYTES + name.length, end);
      used = end;
    }
  }
}

/** An entry of zeros means "not looked up": for `.` and `..`, which the kernel knows. */
function putEntry(trees: Trees, device: FuseDevice, directory: Node, name: Buffer, at: number): void {
  const isDots = name[0] === 0x2e && (name.length === 1 || (name.length === 2 && name[1] === 0x2e));
  const handle = isDots ? -1 : trees.store.lookup(directory.handle, name);
  if (typeof handle === 'number') {
    device.payload.fill(0, at, at + ENTRY_BYTES);
    return;
  }
  const node = trees.nodes.meet(directory, name, handle);
  device.putEntry(at, node.nodeId, node.generation, trees.store.stat);
}
