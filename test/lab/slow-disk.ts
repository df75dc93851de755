/**
 * Runs on a node: a small file system (FUSE, files in memory) whose fsync takes as long as a file says, as on a disk that is dying and
 * still answers. Whoever syncs waits in the kernel for it. What the disk checker does there is all that it serves: files in one folder,
 * made, written, synced, looked at and removed.
 *
 *     node slow-disk.js MOUNT_POINT DELAY_FILE      (milliseconds in DELAY_FILE, read at each fsync; prints "ready")
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, openSync, read, readFileSync, writeSync } from 'node:fs';

const [, , mountPoint = '', delayFile = ''] = process.argv;

const LOOKUP = 1;
const FORGET = 2;
const GETATTR = 3;
const SETATTR = 4;
const UNLINK = 10;
const OPEN = 14;
const WRITE = 16;
const STATFS = 17;
const RELEASE = 18;
const FSYNC = 20;
const INIT = 26;
const CREATE = 35;
const BATCH_FORGET = 42;

const ENOENT = 2;
const ENOSYS = 38;
const ROOT = 1n;
const REQUEST_BYTES_MAX = 1024 * 1024;
const WRITE_BYTES_MAX = 128 * 1024;
const BLOCK_BYTES = 4096;
const BLOCKS = 262_144n;
const DIRECTORY_MODE = 0o040755;
const FILE_MODE = 0o100600;

const names = new Map<string, bigint>();
const sizes = new Map<bigint, bigint>();
let lastNode = ROOT;

/** struct fuse_attr */
function attributes(node: bigint): Buffer {
  const bytes = Buffer.alloc(88);
  bytes.writeBigUInt64LE(node, 0);
  bytes.writeBigUInt64LE(sizes.get(node) ?? 0n, 8);
  bytes.writeUInt32LE(node === ROOT ? DIRECTORY_MODE : FILE_MODE, 60);
  bytes.writeUInt32LE(1, 64);
  bytes.writeUInt32LE(BLOCK_BYTES, 80);
  return bytes;
}

/** struct fuse_entry_out; nothing may be remembered by the kernel */
function entry(node: bigint): Buffer {
  const head = Buffer.alloc(40);
  head.writeBigUInt64LE(node, 0);
  return Buffer.concat([head, attributes(node)]);
}

/** struct fuse_init_out of protocol 7.31 */
function greeting(): Buffer {
  const bytes = Buffer.alloc(64);
  bytes.writeUInt32LE(7, 0);
  bytes.writeUInt32LE(31, 4);
  bytes.writeUInt32LE(WRITE_BYTES_MAX, 20);
  bytes.writeUInt32LE(1, 24);
  return bytes;
}

/** struct fuse_statfs_out: 1 GiB, half of it free */
function room(): Buffer {
  const bytes = Buffer.alloc(80);
  const words = [BLOCKS, BLOCKS / 2n, BLOCKS / 2n, 1000n, 500n];
  words.forEach((word, index) => bytes.writeBigUInt64LE(word, index * 8));
  [BLOCK_BYTES, 255, BLOCK_BYTES].forEach((word, index) => bytes.writeUInt32LE(word, 40 + index * 4));
  return bytes;
}

function textAt(body: Buffer, offset: number): string {
  return body.toString('utf8', offset, body.indexOf(0, offset));
}

function create(name: string): bigint {
  lastNode += 1n;
  names.set(name, lastNode);
  sizes.set(lastNode, 0n);
  return lastNode;
}

function write(node: bigint, body: Buffer): Buffer {
  const end = body.readBigUInt64LE(8) + BigInt(body.readUInt32LE(16));
  if (end > (sizes.get(node) ?? 0n)) sizes.set(node, end);
  const answer = Buffer.alloc(8);
  answer.writeUInt32LE(body.readUInt32LE(16), 0);
  return answer;
}

/** The body of the answer, or the number of an error. Undefined: no answer is expected, or it comes later. */
function serve(opcode: number, unique: bigint, node: bigint, body: Buffer): Buffer | number | undefined {
  const nothing = Buffer.alloc(0);
  switch (opcode) {
    case INIT:
      return greeting();
    case LOOKUP: {
      const found = names.get(textAt(body, 0));
      return found === undefined ? ENOENT : entry(found);
    }
    case GETATTR:
    case SETATTR:
      return Buffer.concat([Buffer.alloc(16), attributes(node)]);
    case CREATE:
      return Buffer.concat([entry(create(textAt(body, 16))), Buffer.alloc(16)]);
    case OPEN:
      return Buffer.alloc(16);
    case WRITE:
      return write(node, body);
    case FSYNC:
      setTimeout(() => answer(unique, nothing), Number(readFileSync(delayFile, 'utf8')));
      return undefined;
    case UNLINK:
      return names.delete(textAt(body, 0)) ? nothing : ENOENT;
    case STATFS:
      return room();
    case RELEASE:
      return nothing;
    case FORGET:
    case BATCH_FORGET:
      return undefined;
    default:
      return ENOSYS;
  }
}

function answer(unique: bigint, outcome: Buffer | number): void {
  const body = typeof outcome === 'number' ? Buffer.alloc(0) : outcome;
  const head = Buffer.alloc(16);
  head.writeUInt32LE(16 + body.length, 0);
  head.writeInt32LE(typeof outcome === 'number' ? -outcome : 0, 4);
  head.writeBigUInt64LE(unique, 8);
  try {
    writeSync(device, Buffer.concat([head, body]));
  } catch (error) {
    // Whoever asked was killed meanwhile.
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

function next(): void {
  const request = Buffer.alloc(REQUEST_BYTES_MAX);
  read(device, request, 0, request.length, null, (error, length) => {
    // ENODEV: unmounted. ENOENT: the request was given up before it was read.
    if (error !== null && error.code !== 'ENOENT') process.exit(error.code === 'ENODEV' ? 0 : 1);
    if (error === null) {
      const [opcode, unique, node] = [request.readUInt32LE(4), request.readBigUInt64LE(8), request.readBigUInt64LE(16)];
      const outcome = serve(opcode, unique, node, request.subarray(40, length));
      if (outcome !== undefined) answer(unique, outcome);
    }
    next();
  });
}

mkdirSync(mountPoint, { recursive: true });
const device = openSync('/dev/fuse', 'r+');
const options = 'fd=3,rootmode=40000,user_id=0,group_id=0';
const { status, stderr } = spawnSync('mount', ['-i', '-t', 'fuse', '-o', options, 'slow', mountPoint], {
  stdio: ['ignore', 'ignore', 'pipe', device],
});
if (status !== 0) throw new Error(`mount ${mountPoint}: ${stderr.toString().trim()}`);
next();
process.stdout.write('ready\n');
