/**
 * Runs on a node: one disk workload in one folder, timed. Prints `{"value":n}`: MB/s for `sequential`, operations per second otherwise.
 * Arguments: folder, workload, amount.
 */
import { closeSync, fsyncSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';

const MIB = 1024 * 1024;
const [folder = '', workload = '', amountText = ''] = process.argv.slice(2);
const amount = Number(amountText);
/** A fresh folder each time, removed only at the end of everything: ext4 is slow at creating just after a mass deletion. */
const work = join(folder, `${workload}-${process.pid}-${process.hrtime.bigint()}`);
mkdirSync(work, { recursive: true });

function secondsOf(run: () => void): number {
  const began = process.hrtime.bigint();
  run();
  return Number(process.hrtime.bigint() - began) / 1e9;
}

function sequential(): number {
  const block = Buffer.alloc(MIB, 0x5a);
  const file = openSync(join(work, 'sequential'), 'w');
  const seconds = secondsOf(() => {
    for (let written = 0; written < amount; written += 1) writeSync(file, block);
    fsyncSync(file);
  });
  closeSync(file);
  rmSync(join(work, 'sequential'));
  return (amount * MIB) / 1e6 / seconds;
}

function smallSynced(): number {
  const block = Buffer.alloc(4096, 0x33);
  const file = openSync(join(work, 'synced'), 'w');
  writeSync(file, Buffer.alloc(MIB));
  fsyncSync(file);
  const seconds = secondsOf(() => {
    for (let n = 0; n < amount; n += 1) {
      writeSync(file, block, 0, block.length, (n % 256) * 4096);
      fsyncSync(file);
    }
  });
  closeSync(file);
  return amount / seconds;
}

function create(): number {
  const content = Buffer.alloc(1024, 0x41);
  for (let n = 0; n < 20; n += 1) mkdirSync(join(work, `d${n}`));
  const seconds = secondsOf(() => {
    for (let n = 0; n < amount; n += 1) {
      const file = openSync(join(work, `d${n % 20}`, `f${n}`), 'w');
      writeSync(file, content);
      closeSync(file);
    }
  });
  return amount / seconds;
}

const WORKLOADS: Readonly<Record<string, () => number>> = { sequential, synced: smallSynced, create };
const value = WORKLOADS[workload]?.();
if (value === undefined) throw new Error(`unknown workload "${workload}"`);
process.stdout.write(`${JSON.stringify({ value })}\n`);
