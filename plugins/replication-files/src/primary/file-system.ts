/**
 * Serves the kernel's requests: what only reads is answered from the backing tree, what modifies goes through the pipeline. Opening needs
 * no message at all: objects are addressed by node, and permissions are checked by the kernel (default_permissions).
 */
import { isRepeated, type Continuity } from '../continuity/continuity.js';
import type { Pool } from '../data/pool.js';
import { RequestBuffer, type FuseDevice, type ReplyTo } from '../fuse/device.js';
import * as fuse from '../fuse/protocol.js';
import { Opcode } from '../fuse/protocol.js';
import * as c from '../system/constants.js';
import { EAGAIN, EFBIG, EINVAL, EIO, ENAMETOOLONG, ENOENT, ENOSYS, EOPNOTSUPP, EPERM } from '../system/errno.js';
import { secondsOf } from '../secondary/times.js';
import type { TimeSpec } from '../wire/messages.js';
import { AttributeModification, EPOCH, FallocateModification, WriteModification } from './content.js';
import { Copies } from './copies.js';
import { CrossingModification } from './crossing.js';
import { fillDirectory } from './directory.js';
import type { Trees } from './modification.js';
import { CreateModification, CreateUnnamedModification } from './creation.js';
import { LinkModification, RemoveModification, RenameModification } from './namespace.js';
import type { Node } from './node.js';
import type { Pipeline } from './pipeline.js';
import { renameKind } from './rename-kind.js';
import { PrivilegeModification, withoutPrivileges } from './privileges.js';
import { listXattrs, readXattr, removeXattrRequest, setXattrRequest, type XattrModification } from './xattr.js';

/** Requests that are read from one device before others get their turn. */
const REQUESTS_PER_TURN = 64;
/** Data of larger writes stays in the buffer that it was read into; smaller is copied out. */
const COPY_BYTES_MAX = 64 << 10;
/** Large buffers in use at once; the kernel keeps further requests until one is free. */
const BUFFERS_MAX = 128;
const FALLOCATE_MODES = [
  0,
  c.FALLOC_FL_KEEP_SIZE,
  c.FALLOC_FL_KEEP_SIZE | c.FALLOC_FL_PUNCH_HOLE,
  c.FALLOC_FL_ZERO_RANGE,
  c.FALLOC_FL_ZERO_RANGE | c.FALLOC_FL_KEEP_SIZE,
];
const RENAME_FLAGS = [0, c.RENAME_NOREPLACE, c.RENAME_EXCHANGE, c.RENAME_WHITEOUT, c.RENAME_WHITEOUT | c.RENAME_NOREPLACE];
const STATVFS_BYTES = 112;

/** What a request asks to be created; the name is at `nameAt` of it. */
interface Wanted {
  readonly mode: number;
  readonly umask: number;
  readonly rdev?: number;
  readonly nameAt: number;
}

export class FileSystem {
  readonly #trees: Trees;
  readonly #pipeline: Pipeline;
  readonly #pool: Pool;
  readonly #continuity: Continuity | undefined;
  readonly #sync: fuse.SyncMode;
  readonly #copies = new Copies(COPY_BYTES_MAX);
  readonly #freeBuffers: RequestBuffer[] = [];
  readonly #statvfs = Buffer.alloc(STATVFS_BYTES);
  #buffer = new RequestBuffer();
  #buffersInUse = 0;
  #onBufferFree: () => void = () => undefined;

  constructor(trees: Trees, pipeline: Pipeline, pool: Pool, continuity: Continuity | undefined, sync: fuse.SyncMode) {
    this.#sync = sync;
    this.#continuity = continuity;
    this.#trees = trees;
    this.#pipeline = pipeline;
    this.#pool = pool;
  }

  /** Called when `serve` may be called again after it returned 'full'. */
  set onBufferFree(listener: () => void) {
    this.#onBufferFree = listener;
  }

  /** @returns 'more' requests may wait, 'empty', 'full': no buffer is free, 'ended': unmounted */
  serve(device: FuseDevice): 'more' | 'empty' | 'full' | 'ended' {
    for (let count = 0; count < REQUESTS_PER_TURN; count += 1) {
      if (this.#buffersInUse >= BUFFERS_MAX) return 'full';
      const outcome = device.read(this.#buffer);
      if (outcome === 'ended') return 'ended';
      if (!outcome) return 'empty';
      this.#dispatch(device, this.#buffer);
    }
    return 'more';
  }

  #dispatch(device: FuseDevice, request: RequestBuffer): void {
    const to = device.replyTo(request);
    if (isRepeated(to)) this.#trees.nodes.servedBefore(to);
    switch (request.opcode as Opcode) {
      case Opcode.Init:
        return this.#init(device, to, request);
      case Opcode.Forget:
        this.#trees.nodes.forget(device.root, request.nodeId, request.long(40));
        return;
      case Opcode.BatchForget:
        this.#forgetMany(device, request);
        return;
      case Opcode.Interrupt:
      case Opcode.NotifyReply:
        return;
      case Opcode.Destroy:
        device.replyError(to, 0);
        return;
      case Opcode.Read:
        return this.#read(device, to, request);
      case Opcode.Write:
        return this.#write(device, to, request);
      case Opcode.Lookup:
        return this.#lookup(device, to, request);
      case Opcode.GetAttr:
        return this.#attributes(to, this.#node(device, request));
      case Opcode.ReadLink:
        return this.#number(
          to,
          this.#trees.store.readlink(this.#node(device, request).handle, device.payload.subarray(0, c.PATH_BYTES_MAX)),
        );
      case Opcode.ReadDir:
      case Opcode.ReadDirPlus:
        this.#trees.nodes.serving(to);
        this.#number(to, fillDirectory(this.#trees, device, this.#node(device, request), request, request.opcode === Opcode.ReadDirPlus));
        this.#pipeline.answered();
        return;
      case Opcode.StatFs:
        return this.#statfs(device, to);
      case Opcode.LSeek:
        return this.#seek(device, to, request);
      case Opcode.FSync:
      case Opcode.FSyncDir:
        this.#pipeline.sync(to, this.#node(device, request), (request.word(48) & fuse.FSYNC_FDATASYNC) !== 0);
        return;
      case Opcode.SetAttr:
        return this.#setAttributes(to, this.#node(device, request), request);
      case Opcode.FAllocate:
        return this.#fallocate(to, this.#node(device, request), request);
      case Opcode.Create:
        return this.#create(device, to, request, { mode: c.S_IFREG | (request.word(44) & 0o7777), umask: request.word(48), nameAt: 56 });
      case Opcode.MkNod:
        return this.#create(device, to, request, {
          mode: request.word(40),
          rdev: request.word(44),
          umask: request.word(48),
          nameAt: 56,
        });
      case Opcode.MkDir:
        return this.#create(device, to, request, { mode: c.S_IFDIR | (request.word(40) & 0o7777), umask: request.word(44), nameAt: 48 });
      case Opcode.Symlink:
        return this.#create(device, to, request, { mode: c.S_IFLNK | 0o777, umask: 0, nameAt: 40 });
      case Opcode.Link: {
        const object = this.#trees.nodes.get(device.root, request.word(40));
        this.#pipeline.submit(new LinkModification(to, this.#node(device, request), request.name(48), object));
        return;
      }
      case Opcode.Unlink:
      case Opcode.RmDir:
        this.#pipeline.submit(new RemoveModification(to, this.#node(device, request), request.name(40), request.opcode === Opcode.RmDir));
        return;
      case Opcode.Rename:
        return this.#rename(device, to, request, 0, 48);
      case Opcode.Rename2:
        return this.#rename(device, to, request, request.word(48), 56);
      case Opcode.Release:
      case Opcode.ReleaseDir:
        device.replyError(to, 0);
        return;
      case Opcode.TmpFile:
        return this.#createUnnamed(device, to, request);
      case Opcode.GetXattr:
        return this.#number(to, readXattr(this.#trees.store, device, this.#node(device, request), request));
      case Opcode.ListXattr:
        return this.#number(to, listXattrs(this.#trees.store, device, this.#node(device, request), request));
      case Opcode.SetXattr:
        return this.#changeXattr(to, setXattrRequest(to, this.#node(device, request), request));
      case Opcode.RemoveXattr:
        return this.#changeXattr(to, removeXattrRequest(to, this.#node(device, request), request));
      // ENOSYS tells the kernel never to ask again: opening needs no message.
      case Opcode.Open:
      case Opcode.OpenDir:
      case Opcode.Flush:
      default:
        device.replyError(to, ENOSYS);
    }
  }

  #node(device: FuseDevice, request: RequestBuffer): Node {
    return this.#trees.nodes.get(device.root, request.nodeId);
  }

  #init(device: FuseDevice, to: ReplyTo, request: RequestBuffer): void {
    const features = fuse.answerInit(request.bytes, device.payload, this.#sync);
    device.agree(features ?? 0);
    if (this.#continuity !== undefined) {
      if (fuse.kernelResends(request.bytes)) this.#continuity.memory.kernelResends();
      this.#continuity.memory.fuseFeatures = features ?? 0;
    }
    if (features === undefined) device.replyError(to, EIO);
    else device.reply(to, fuse.INIT_REPLY_BYTES);
  }

  #changeXattr(to: ReplyTo, change: XattrModification | number): void {
    if (typeof change === 'number') to.device.replyError(to, change);
    else this.#pipeline.submit(change);
  }

  #number(to: ReplyTo, outcome: number): void {
    if (outcome < 0) to.device.replyError(to, -outcome);
    else to.device.reply(to, outcome);
  }

  #forgetMany(device: FuseDevice, request: RequestBuffer): void {
    const count = request.word(40);
    for (let index = 0; index < count; index += 1) {
      const at = 48 + index * 16;
      this.#trees.nodes.forget(device.root, request.bytes.readUInt32LE(at), Number(request.bytes.readBigUInt64LE(at + 8)));
    }
  }

  #lookup(device: FuseDevice, to: ReplyTo, request: RequestBuffer): void {
    const parent = this.#node(device, request);
    const name = request.name(fuse.IN_HEADER_BYTES);
    const { store, nodes } = this.#trees;
    const handle = store.isReserved(parent.handle, name) ? -ENOENT : store.lookup(parent.handle, name);
    if (handle === -ENOENT) device.replyNoEntry(to);
    else if (typeof handle === 'number') device.replyError(to, -handle);
    else {
      nodes.serving(to);
      const node = nodes.meet(parent, name, handle);
      device.replyEntry(to, node.nodeId, node.generation, store.stat);
      this.#pipeline.answered();
    }
  }

  #attributes(to: ReplyTo, node: Node): void {
    const outcome = this.#trees.store.attributes(node.handle);
    if (outcome < 0) to.device.replyError(to, -outcome);
    else to.device.replyAttributes(to, this.#trees.store.stat);
  }

  /** From the page cache at once; what the disk must bring is read and answered by a pool thread. */
  #read(device: FuseDevice, to: ReplyTo, request: RequestBuffer): void {
    const { store } = this.#trees;
    const node = this.#node(device, request);
    const offset = request.long(48);
    const length = Math.min(request.word(56), fuse.WRITE_BYTES_MAX);
    const fd = store.descriptor(node.handle);
    if (fd < 0) {
      device.replyError(to, -fd);
      return;
    }
    const got = device.readCached(fd, offset, length, c.RWF_NOWAIT);
    if (got === length || (got >= 0 && store.stat.of(fd) >= 0 && offset + got >= store.stat.size)) {
      device.reply(to, got);
      return;
    }
    if (got < 0 && got !== -EAGAIN && got !== -EOPNOTSUPP) {
      device.replyError(to, -got);
      return;
    }
    const pinned = store.pin(node.handle);
    const { uniqueLow, uniqueHigh } = to;
    this.#pool.run({ call: 'read', fd: pinned, offset, length, replyFd: device.fd, uniqueLow, uniqueHigh }, (outcome) => {
      store.unpin(node.handle);
      if (outcome < 0) device.replyError(to, -outcome);
    });
  }

  #write(device: FuseDevice, to: ReplyTo, request: RequestBuffer): void {
    const node = this.#node(device, request);
    const length = request.word(56);
    const data = request.bytes.subarray(fuse.WRITE_DATA_AT, fuse.WRITE_DATA_AT + length);
    const offset = request.long(48);
    if (isTooLarge(offset + length)) {
      device.replyError(to, EFBIG);
      return;
    }
    if (request.word(60) & fuse.WRITE_KILL_SUIDGID) {
      const mode = this.#clearedMode(node, request);
      if (mode !== undefined) this.#pipeline.submit(new PrivilegeModification(to, node, mode));
    }
    if (length <= COPY_BYTES_MAX && this.#pipeline.flow !== 'alone') {
      const { copy, release } = this.#copies.take(data);
      this.#pipeline.submit(new WriteModification(to, node, offset, copy, release));
      return;
    }
    this.#buffersInUse += 1;
    this.#buffer = this.#freeBuffers.pop() ?? new RequestBuffer();
    const release = (): void => {
      this.#freeBuffers.push(request);
      this.#buffersInUse -= 1;
      if (this.#buffersInUse === BUFFERS_MAX - 1) this.#onBufferFree();
    };
    this.#pipeline.submit(new WriteModification(to, node, offset, data, release));
  }

  /** The mode without what the caller may not keep; undefined: nothing is to be cleared. */
  #clearedMode(node: Node, request: RequestBuffer): number | undefined {
    const { store } = this.#trees;
    if (store.attributes(node.handle) < 0) return undefined;
    const mode = withoutPrivileges(store.stat.mode, store.stat.gid, request);
    return mode === store.stat.mode ? undefined : mode;
  }

  #statfs(device: FuseDevice, to: ReplyTo): void {
    const outcome = this.#trees.store.statfs(device.root, this.#statvfs);
    if (outcome < 0) {
      device.replyError(to, -outcome);
      return;
    }
    const from = this.#statvfs;
    const out = device.payload;
    // struct statvfs: bsize, frsize, blocks, bfree, bavail, files, ffree, favail (8 bytes each).
    from.copy(out, 0, 16, 56);
    out.writeUInt32LE(Number(from.readBigUInt64LE(0)), 40);
    out.writeUInt32LE(c.NAME_BYTES_MAX, 44);
    out.writeUInt32LE(Number(from.readBigUInt64LE(8)), 48);
    out.fill(0, 52, 80);
    device.reply(to, 80);
  }

  #seek(device: FuseDevice, to: ReplyTo, request: RequestBuffer): void {
    // The kernel does not look at what it has not sent yet: it would be a hole, and a copy of the file would lack it. Without an answer
    // everything up to the end of the file counts as data.
    if (device.writesBack) {
      device.replyError(to, ENOSYS);
      return;
    }
    const outcome = this.#trees.store.seek(this.#node(device, request).handle, request.long(48), request.word(56));
    if (outcome >= 0) device.payload.writeBigUInt64LE(BigInt(outcome), 0);
    this.#number(to, outcome < 0 ? outcome : 8);
  }

  #setAttributes(to: ReplyTo, node: Node, request: RequestBuffer): void {
    const flags = request.word(40);
    let valid = flags & (fuse.FATTR_MODE | fuse.FATTR_UID | fuse.FATTR_GID | fuse.FATTR_SIZE | fuse.FATTR_ATIME | fuse.FATTR_MTIME);
    const now = (flags & (fuse.FATTR_ATIME_NOW | fuse.FATTR_MTIME_NOW)) === 0 ? undefined : currentTime();
    const time = (isNow: boolean, seconds: number, nanoseconds: number): TimeSpec =>
      isNow && now !== undefined
        ? now
        : { seconds: secondsOf(request.bytes.readBigInt64LE(seconds)), nanoseconds: request.word(nanoseconds) };
    if (flags & fuse.FATTR_ATIME_NOW) valid |= fuse.FATTR_ATIME;
    if (flags & fuse.FATTR_MTIME_NOW) valid |= fuse.FATTR_MTIME;
    const isAtime = (valid & fuse.FATTR_ATIME) !== 0;
    const isMtime = (valid & fuse.FATTR_MTIME) !== 0;
    // A change of owner, and what a write or fallocate is about to clear: that request has no field at all.
    const kills = request.uid !== 0 && (valid === 0 || (valid & (fuse.FATTR_UID | fuse.FATTR_GID)) !== 0);
    const truncates = (flags & fuse.FATTR_KILL_SUIDGID) !== 0 && (valid & fuse.FATTR_SIZE) !== 0;
    const cleared = (kills || truncates) && (valid & fuse.FATTR_MODE) === 0 ? this.#clearedMode(node, request) : undefined;
    if (cleared !== undefined) valid |= fuse.FATTR_MODE;
    const wanted = {
      valid,
      mode: cleared ?? request.word(108),
      uid: request.word(116),
      gid: request.word(120),
      size: valid & fuse.FATTR_SIZE ? request.long(56) : 0,
      atime: isAtime ? time((flags & fuse.FATTR_ATIME_NOW) !== 0, 72, 96) : EPOCH,
      mtime: isMtime ? time((flags & fuse.FATTR_MTIME_NOW) !== 0, 80, 100) : EPOCH,
    };
    if (isTooLarge(wanted.size)) to.device.replyError(to, EFBIG);
    else if (valid === 0) this.#attributes(to, node);
    else this.#pipeline.submit(new AttributeModification(to, node, wanted));
  }

  #fallocate(to: ReplyTo, node: Node, request: RequestBuffer): void {
    const mode = request.word(64);
    if (!FALLOCATE_MODES.includes(mode)) {
      to.device.replyError(to, EOPNOTSUPP);
      return;
    }
    const [offset, length] = [request.long(48), request.long(56)];
    if (isTooLarge(offset + length)) to.device.replyError(to, EFBIG);
    else this.#pipeline.submit(new FallocateModification(to, node, mode, offset, length));
  }

  #create(device: FuseDevice, to: ReplyTo, request: RequestBuffer, wanted: Wanted): void {
    const { mode, rdev = 0, umask, nameAt } = wanted;
    const name = request.name(nameAt);
    const parent = this.#node(device, request);
    if (name.length > c.NAME_BYTES_MAX) {
      device.replyError(to, ENAMETOOLONG);
      return;
    }
    const target = (mode & c.S_IFMT) === c.S_IFLNK ? Buffer.from(request.name(nameAt + name.length + 1)) : undefined;
    const permitted = this.#trees.store.creationMode(parent.handle, mode, umask);
    const object = { mode: permitted, uid: request.uid, gid: request.gid, rdev, target };
    this.#pipeline.submit(new CreateModification(to, parent, name, object, request.opcode === Opcode.Create));
  }

  #createUnnamed(device: FuseDevice, to: ReplyTo, request: RequestBuffer): void {
    const parent = this.#node(device, request);
    const mode = this.#trees.store.creationMode(parent.handle, c.S_IFREG | (request.word(44) & 0o7777), request.word(48));
    const object = { mode, uid: request.uid, gid: request.gid, rdev: 0, target: undefined };
    this.#pipeline.submit(new CreateUnnamedModification(to, parent, object));
  }

  #rename(device: FuseDevice, to: ReplyTo, request: RequestBuffer, flags: number, nameAt: number): void {
    const parent = this.#node(device, request);
    const newParent = this.#trees.nodes.get(device.root, request.word(40));
    const name = request.name(nameAt);
    const newName = request.name(nameAt + name.length + 1);
    if (name.length > c.NAME_BYTES_MAX || newName.length > c.NAME_BYTES_MAX) device.replyError(to, ENAMETOOLONG);
    else if (!RENAME_FLAGS.includes(flags)) device.replyError(to, EINVAL);
    else if (this.#trees.store.isReserved(newParent.handle, newName)) device.replyError(to, EPERM);
    else {
      // What was begun before counts for a request that comes again: afterwards the names say something else.
      const wasPlain = isRepeated(to) && this.#trees.nodes.movedBefore(to) !== undefined;
      const [from, target] = [
        { directory: parent.handle, name },
        { directory: newParent.handle, name: newName },
      ];
      const kind = wasPlain ? 'same' : renameKind(this.#trees, from, target, flags);
      this.#pipeline.submit(
        kind === 'same'
          ? new RenameModification(to, parent, name, newParent, newName, flags, { uid: request.uid, gid: request.gid })
          : new CrossingModification(to, parent, name, newParent, newName, flags, kind),
      );
    }
  }
}

/** Sizes are exact as numbers up to here, which is more than a file system takes; the kernel lets applications ask for up to 2^63. */
function isTooLarge(size: number): boolean {
  return size > Number.MAX_SAFE_INTEGER;
}

function currentTime(): TimeSpec {
  const ms = performance.timeOrigin + performance.now();
  const seconds = Math.floor(ms / 1000);
  return { seconds, nanoseconds: Math.min(999_999_999, Math.floor((ms - seconds * 1000) * 1e6)) };
}
