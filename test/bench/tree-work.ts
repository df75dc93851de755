/**
 * Makes and changes the trees that the resync benchmark needs. The same arguments always make the same bytes and times, so that one call
 * can make identical trees for several places. Prints `{"seconds":n}`. Arguments:
 *   small FILES FOLDER…             files of 100 to 1100 bytes, 100 in a directory
 *   mixed MIB FOLDER…               a tree of that size: small, medium and large files
 *   change FILES COUNT ROUND FOLDER changes COUNT of the files that `small` made, spread evenly, other ones in every round
 *   touch BYTES COUNT FILE          changes one byte at COUNT places of a file, spread evenly
 */
import { randomFillSync } from 'node:crypto';
import { closeSync, futimesSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';

const FILES_PER_DIRECTORY = 100;
const KIB = 1024;
const MIB = 1024 * KIB;
/** Before every run: a file with this time has not been touched since. */
const MADE_AT_SECONDS = 1_700_000_000;

/** Bytes that do not compress and differ from place to place; the same in every run. */
function pattern(bytes: number): Buffer {
  const buffer = Buffer.alloc(bytes);
  let state = 0x9e3779b9;
  for (let offset = 0; offset + 4 <= bytes; offset += 4) {
    state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9;
    buffer.writeInt32LE(state | 0, offset);
  }
  return buffer;
}

function smallPath(folder: string, n: number): string {
  return join(folder, `d${Math.floor(n / FILES_PER_DIRECTORY)}`, `f${n}`);
}

function write(path: string, content: Buffer): void {
  const file = openSync(path, 'wx');
  for (let offset = 0; offset < content.length; ) offset += writeSync(file, content, offset);
  futimesSync(file, MADE_AT_SECONDS, MADE_AT_SECONDS);
  closeSync(file);
}

function small(files: number, folders: readonly string[]): void {
  const source = pattern(64 * KIB);
  for (const folder of folders) {
    for (let n = 0; n < files; n += 1) {
      if (n % FILES_PER_DIRECTORY === 0) mkdirSync(join(folder, `d${n / FILES_PER_DIRECTORY}`), { recursive: true });
      const start = (n * 61) % (source.length - 1100);
      write(smallPath(folder, n), source.subarray(start, start + 100 + ((n * 7919) % 1000)));
    }
  }
}

/** Three quarters in files of 64 MiB, a fifth in files of 1 MiB, the rest in files of 8 KiB. */
function mixed(mib: number, folders: readonly string[]): void {
  const source = pattern(MIB);
  const kinds = [
    { name: 'large', bytes: 64 * MIB, share: 0.75 },
    { name: 'medium', bytes: MIB, share: 0.2 },
    { name: 'small', bytes: 8 * KIB, share: 0.05 },
  ];
  for (const folder of folders) {
    for (const { name, bytes, share } of kinds) {
      const count = Math.max(1, Math.round((mib * MIB * share) / bytes));
      for (let n = 0; n < count; n += 1) {
        const directory = join(folder, `${name}${Math.floor(n / FILES_PER_DIRECTORY)}`);
        if (n % FILES_PER_DIRECTORY === 0) mkdirSync(directory, { recursive: true });
        const file = openSync(join(directory, `f${n}`), 'wx');
        for (let written = 0; written < bytes; written += Math.min(bytes, MIB)) {
          source.writeUInt32LE(n, 0);
          source.writeUInt32LE(written / KIB, 4);
          writeSync(file, source, 0, Math.min(bytes, MIB));
        }
        closeSync(file);
      }
    }
  }
}

function change(files: number, count: number, round: number, folder: string): void {
  const content = randomFillSync(Buffer.alloc(64));
  for (let n = 0; n < count; n += 1) {
    const index = (Math.floor((n * files) / count) + round) % files;
    const file = openSync(smallPath(folder, index), 'r+');
    content.writeUInt32LE(n, 0);
    writeSync(file, content, 0, content.length, 0);
    closeSync(file);
  }
}

function touch(bytes: number, count: number, path: string): void {
  const file = openSync(path, 'r+');
  for (let n = 0; n < count; n += 1) writeSync(file, 'x', Math.floor((n * bytes) / count));
  closeSync(file);
}

const [action, ...words] = process.argv.slice(2);
const numbers = words.map(Number);
const began = process.hrtime.bigint();
switch (action) {
  case 'small':
    small(numbers[0] ?? 0, words.slice(1));
    break;
  case 'mixed':
    mixed(numbers[0] ?? 0, words.slice(1));
    break;
  case 'change':
    change(numbers[0] ?? 0, numbers[1] ?? 0, numbers[2] ?? 0, words[3] ?? '');
    break;
  case 'touch':
    touch(numbers[0] ?? 0, numbers[1] ?? 0, words[2] ?? '');
    break;
  default:
    throw new Error(`unknown action "${action ?? ''}"`);
}
process.stdout.write(`${JSON.stringify({ seconds: Number(process.hrtime.bigint() - began) / 1e9 })}\n`);
