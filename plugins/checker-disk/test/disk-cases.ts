/**
 * A small ext4 file system on a loop device that gets full, loses its inodes, is remounted read-only and freezes. Run by the tests in a
 * mount namespace of its own, with a folder and the title of a case; without arguments it lists its cases.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Check, ElementValue } from '@holdfast/sdk';
import { checkerCases, type ConformanceCase } from '@holdfast/sdk/testkit/checker';
import { createdChecks } from '@holdfast/sdk/testkit/created';
import { verdictWithin, watched } from '@holdfast/sdk/testkit/watched';
import { plugin } from '../src/index.js';

const SCHEMA: unknown = JSON.parse(readFileSync(new URL('../../schemas/disk.json', import.meta.url), 'utf8'));
const [folder = '', title] = process.argv.slice(2);
const disk = join(folder, 'disk');
const MEBIBYTE = 1024 ** 2;

function run(program: string, ...words: readonly string[]): void {
  execFileSync(program, words, { stdio: ['ignore', 'ignore', 'pipe'] });
}

function create(to: ElementValue): Check {
  const [check] = createdChecks(plugin, SCHEMA, { ident: 'data', to: [{ path: disk, interval: 50, timeout: 500, ...to }] });
  assert(check !== undefined);
  return check;
}

async function withDisk(work: () => Promise<void>): Promise<void> {
  const image = join(folder, 'image');
  mkdirSync(disk);
  writeFileSync(image, '');
  run('truncate', '-s', '32M', image);
  run('mkfs.ext4', '-q', '-m', '0', '-N', '64', image);
  run('mount', '-o', 'loop', image, disk);
  try {
    await work();
  } finally {
    run('umount', disk);
  }
}

/** The kernel refuses while a file is open for writing, as the checker's is for the time of its fsync. */
async function remountReadOnly(): Promise<void> {
  const beganMs = performance.now();
  for (;;) {
    try {
      run('mount', '-o', 'remount,ro', disk);
      return;
    } catch (error) {
      const isBusy = String((error as { stderr?: unknown }).stderr).includes('busy');
      if (!isBusy || performance.now() - beganMs > 8000) throw error;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}

const until = verdictWithin(8000);

const OWN: readonly ConformanceCase[] = [
  {
    title: 'is down while a real disk is full, or has no inode left',
    run: () =>
      withDisk(() =>
        watched(create({ free: '20%', inodes: '5%' }), async (results) => {
          await until(results, 'up', /free/);
          writeFileSync(join(disk, 'large'), Buffer.alloc(24 * MEBIBYTE));
          await until(results, 'down', /MiB .* free, at least 20 % are wanted/);
          rmSync(join(disk, 'large'));
          await until(results, 'up', /free/);
          for (let index = 0; index < 50; index += 1) writeFileSync(join(disk, `file${index}`), '');
          await until(results, 'down', /inodes .* free, at least 5 % are wanted/);
        }),
      ),
  },
  {
    title: 'says when a disk will be full before it is',
    run: () =>
      withDisk(() =>
        watched(create({ full_in: 60_000, window: 1000, interval: 100 }), async (results) => {
          await until(results, 'up', /free/);
          let written = 0;
          const grow = setInterval(() => writeFileSync(join(disk, `part${(written += 1)}`), Buffer.alloc(MEBIBYTE / 4)), 100);
          try {
            await until(results, 'down', /full in \d+ s if it goes on like this/);
          } finally {
            clearInterval(grow);
          }
          await until(results, 'up', /free/);
        }),
      ),
  },
  {
    title: 'is down when a disk was remounted read-only',
    run: () =>
      withDisk(() =>
        watched(create({ slower: 1000 }), async (results) => {
          await until(results, 'up', /fsync [0-9.]+ ms/);
          await remountReadOnly();
          await until(results, 'down', /it is read-only/);
          run('mount', '-o', 'remount,rw', disk);
          await until(results, 'up', /fsync/);
        }),
      ),
  },
  {
    title: 'is down while a disk hangs, asks it nothing more meanwhile, and stops without waiting for it',
    run: () =>
      withDisk(async () => {
        await watched(create({ slower: 1000 }), async (results) => {
          await until(results, 'up', /fsync/);
          run('fsfreeze', '--freeze', disk);
          try {
            await until(results, 'down', /does not answer for \d/);
            assert(
              results.some(({ detail }) => detail.includes('does not answer within 500 ms')),
              JSON.stringify(results.slice(-5)),
            );
          } finally {
            run('fsfreeze', '--unfreeze', disk);
          }
          await until(results, 'up', /fsync/);
        });
        const check = create({ slower: 1000 });
        run('fsfreeze', '--freeze', disk);
        try {
          await check.start(() => undefined);
          await new Promise((resolve) => setTimeout(resolve, 100));
          const beganMs = performance.now();
          await check.stop();
          assert(performance.now() - beganMs < 2000, 'stop waits for the disk');
        } finally {
          run('fsfreeze', '--unfreeze', disk);
        }
      }),
  },
  {
    title: 'is down when the path is gone',
    run: () => watched(create({ path: join(folder, 'missing') }), (results) => until(results, 'down', /ENOENT/)),
  },
];

const subject = {
  create: (): Check => create({ path: folder, free: '0%', inodes: '0%', readonly: false }),
  makeUp: async (): Promise<void> => void mkdirSync(folder, { recursive: true }),
  makeDown: async (): Promise<void> => rmSync(folder, { recursive: true, force: true }),
};
const CASES = [...OWN, ...checkerCases(subject)];

if (title === undefined) {
  process.stdout.write(JSON.stringify(CASES.map((one) => one.title)));
} else {
  const chosen = CASES.find((one) => one.title === title);
  assert(chosen !== undefined, title);
  await chosen.run();
}
