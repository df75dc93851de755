/**
 * A disk image of a virtual machine, as a load of a campaign: cells of it are written and flushed by qemu-io, a stretch of it by
 * `qemu-img bench`, and from time to time it is converted to a copy that takes its name by a rename. In the end `qemu-img check` must find
 * nothing but leaks, and every cell, the stretch and the copy must have what was promised last.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { join } from 'node:path';
import type { LoadKind, LoadVoice } from './load-kind.js';

const MIB = 1 << 20;
const IMAGE_BYTES = 256 * MIB;
const CELLS = 64;
const CELL_BYTES = 64 << 10;
const STRETCH_AT = 128 * MIB;
const STRETCH_WRITES = 100;
const STRETCH_BYTES = STRETCH_WRITES * CELL_BYTES;
const PIECE_BYTES = MIB;
/** `qemu-img check`: nothing, or clusters that nobody uses, which every crash may leave. */
const CHECK_OK: readonly (number | null)[] = [0, 3];

const patternOf = (number: number): number => 1 + (number % 255);

export function qemuLoad(directory: string, first: number, { say, promise, lost, syncPath }: LoadVoice): LoadKind {
  const image = join(directory, 'disk.qcow2');
  const copy = join(directory, 'copy.raw');
  const run = (program: string, ...words: readonly string[]): string =>
    execFileSync(program, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });

  /** What is going on may or may not be there after a crash; what is there must be. */
  const doing = (what: string, number: number, action: () => void): void => {
    promise(`going ${what}`);
    action();
    promise(`there ${what} ${number}`);
  };

  const writeCell = (number: number): void => {
    const cell = number % CELLS;
    const cache = number % 2 === 0 ? 'none' : 'writeback';
    doing(`cell-${cell}`, number, () => {
      const write = `write -q -P ${patternOf(number)} ${cell * 2 * CELL_BYTES} ${CELL_BYTES}`;
      run('qemu-io', '-f', 'qcow2', '-t', cache, '-c', write, '-c', 'flush', image);
    });
  };

  const writeStretch = (number: number): void => {
    doing('stretch', number, () => {
      const amount = ['-c', String(STRETCH_WRITES), '-s', String(CELL_BYTES), '-o', String(STRETCH_AT), '-d', '16'];
      run('qemu-img', 'bench', '-q', '-w', '-f', 'qcow2', `--pattern=${patternOf(number)}`, '--flush-interval=16', ...amount, image);
      syncPath(image);
    });
  };

  const convert = (number: number): void => {
    const made = `${copy}.new`;
    run('qemu-img', 'convert', '-q', '-f', 'qcow2', '-O', 'raw', image, made);
    syncPath(made);
    const digest = digestOf(made);
    doing('copy', number, () => {
      fs.renameSync(made, copy);
      syncPath(directory);
      promise(`digest ${digest} ${number}`);
    });
  };

  return {
    async work(isEnding) {
      if (!fs.existsSync(image)) {
        const made = `${image}.new`;
        run('qemu-img', 'create', '-q', '-f', 'qcow2', made, String(IMAGE_BYTES));
        syncPath(made);
        fs.renameSync(made, image);
        syncPath(directory);
      }
      for (let number = first; !isEnding(); number += 1) {
        writeCell(number);
        if (number % 10 === 5) writeStretch(number);
        if (number % 25 === 20) convert(number);
        await new Promise((resolve) => setImmediate(resolve));
      }
    },

    check(promised) {
      const verdict = spawnSync('qemu-img', ['check', '-f', 'qcow2', image], { encoding: 'utf8' });
      if (!CHECK_OK.includes(verdict.status)) say(`the image is damaged: ${verdict.stdout}${verdict.stderr}`.trim().replaceAll('\n', '; '));
      const sure = new Map<string, number>();
      let digest: string | undefined;
      for (const line of promised) {
        const [word = '', what = '', number = ''] = line.split(' ');
        if (word === 'there') sure.set(what, Number(number));
        else if (word === 'going') sure.delete(what);
        else if (word === 'digest') digest = what;
      }
      for (const [what, number] of sure) {
        if (what === 'copy') {
          if (digestOf(copy) !== digest) lost(`the copy that was converted at ${number}`);
          continue;
        }
        const [at, bytes] = what === 'stretch' ? [STRETCH_AT, STRETCH_BYTES] : [Number(what.slice(5)) * 2 * CELL_BYTES, CELL_BYTES];
        const read = spawnSync('qemu-io', ['-r', '-f', 'qcow2', '-c', `read -q -P ${patternOf(number)} ${at} ${bytes}`, image], {
          encoding: 'utf8',
        });
        if (read.status !== 0 || read.stdout.includes('failed') || read.stderr !== '')
          lost(`${what} of ${number}: ${read.stdout}${read.stderr}`.trim());
      }
    },
  };
}

function digestOf(path: string): string {
  const hash = createHash('sha256');
  const file = fs.openSync(path, 'r');
  const piece = Buffer.alloc(PIECE_BYTES);
  for (let bytes = fs.readSync(file, piece); bytes > 0; bytes = fs.readSync(file, piece)) hash.update(piece.subarray(0, bytes));
  fs.closeSync(file);
  return hash.digest('hex');
}
