/**
 * An application that keeps a file open: `write-back-process.js FILE`. Reads commands from standard input, one per line, and answers each
 * with a line: its result, or the code of its error.
 *
 * `write OFFSET BYTES TEXT`, `read OFFSET BYTES` (a checksum), `data` (SEEK_DATA from 0), `stat` (size and mtime), `sync`, `datasync`,
 * `map OFFSET` (writes through a shared mapping, which stays), `close`, and `records`: appends numbered lines, each synced and then said,
 * until it fails.
 */
import * as fs from 'node:fs';
import { createInterface } from 'node:readline';
import koffi from 'koffi';
import { lseek } from '../src/system/calls.js';
import { SEEK_DATA } from '../src/system/constants.js';

const libc = koffi.load('libc.so.6');
const mmap = libc.func('void* mmap(void*, uint64_t, int, int, int, int64_t)') as (...values: unknown[]) => unknown;
const memcpy = libc.func('void* memcpy(void*, void*, uint64_t)') as (...values: unknown[]) => unknown;

const fd = fs.openSync(process.argv[2] as string, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o644);
const say = (answer: unknown): void => {
  fs.writeSync(1, `${String(answer)}\n`);
};

function sum(bytes: Buffer): number {
  return bytes.reduce((total, byte) => (total * 31 + byte) | 0, 7);
}

function perform(command: string, at: number, amount: number, text: string): unknown {
  switch (command) {
    case 'write':
      return fs.writeSync(fd, Buffer.alloc(amount, text), 0, amount, at);
    case 'read': {
      const into = Buffer.alloc(amount);
      return `${fs.readSync(fd, into, 0, amount, at)} ${sum(into)}`;
    }
    case 'data':
      return lseek(fd, 0, SEEK_DATA);
    case 'stat': {
      const { size, mtimeNs } = fs.fstatSync(fd, { bigint: true });
      return `${size} ${mtimeNs}`;
    }
    case 'sync':
      fs.fsyncSync(fd);
      return 'ok';
    case 'datasync':
      fs.fdatasyncSync(fd);
      return 'ok';
    case 'map':
      memcpy(mmap(null, 4096, 3, 1, fd, at), Buffer.from('mapped'), 6);
      return 'ok';
    case 'close':
      fs.closeSync(fd);
      return 'ok';
    case 'records':
      for (let record = 1; ; record += 1) {
        fs.writeSync(fd, `${record}\n`);
        fs.fsyncSync(fd);
        say(record);
      }
    default:
      throw new Error(`no command ${command}`);
  }
}

say('ready');
for await (const line of createInterface({ input: process.stdin })) {
  const [command = '', at = '0', amount = '0', text = 'x'] = line.split(' ');
  try {
    say(perform(command, Number(at), Number(amount), text));
  } catch (error) {
    say((error as NodeJS.ErrnoException).code ?? error);
  }
}
