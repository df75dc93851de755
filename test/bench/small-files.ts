/**
 * Runs on a node: work with many small files in one empty folder, timed; prints what it found as one JSON object, in operations per second.
 * Arguments: `create` FOLDER COUNT, `untar` FOLDER ARCHIVE, `sqlite` FOLDER COMMITS, or `archive` FOLDER COUNT FILE, which makes one.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { closeSync, lstatSync, mkdirSync, openSync, readdirSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';

const DIRECTORIES = 20;
const FILES_PER_DIRECTORY = 100;

function secondsOf(run: () => void): number {
  const began = process.hrtime.bigint();
  run();
  return Number(process.hrtime.bigint() - began) / 1e9;
}

function must(program: string, argv: readonly string[], input?: string): string {
  const { status, stdout, stderr, error } = spawnSync(program, argv, { input, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`${program} ${argv.join(' ')} failed: ${stderr}`);
  return stdout;
}

/** The first stat of a file after its creation, in the order of creation. */
function create(folder: string, count: number): Record<string, number> {
  const content = Buffer.alloc(1024, 0x41);
  const paths = Array.from({ length: count }, (_, n) => join(folder, `d${n % DIRECTORIES}`, `f${n}`));
  for (let n = 0; n < DIRECTORIES; n += 1) mkdirSync(join(folder, `d${n}`));
  const created = secondsOf(() => {
    for (const path of paths) {
      const file = openSync(path, 'w');
      writeSync(file, content);
      closeSync(file);
    }
  });
  const stated = secondsOf(() => {
    for (const path of paths) lstatSync(path);
  });
  return { create: count / created, stat: count / stated };
}

function untar(folder: string, archive: string): Record<string, number> {
  const untarred = secondsOf(() => must('tar', ['-xf', archive, '-C', folder]));
  const git = (...words: readonly string[]): string =>
    must('git', ['-C', folder, '-c', 'user.name=bench', '-c', 'user.email=bench@localhost', '-c', 'gc.auto=0', ...words]);
  git('init', '-q');
  const committed = secondsOf(() => {
    git('add', '-A');
    git('commit', '-q', '-m', 'all files');
  });
  const count = git('ls-files').split('\n').length - 1;
  return { untar: count / untarred, git: count / committed };
}

function sqlite(folder: string, commits: number): Record<string, number> {
  const database = join(folder, 'database');
  const table = 'PRAGMA journal_mode=WAL; CREATE TABLE entries(id INTEGER PRIMARY KEY, text TEXT);';
  must('sqlite3', [database], table);
  const lines = Array.from({ length: commits }, (_, n) => `INSERT INTO entries(text) VALUES ('entry ${n} ${'x'.repeat(80)}');`);
  const took = secondsOf(() => must('sqlite3', [database], `PRAGMA synchronous=FULL;\n${lines.join('\n')}\n`));
  const found = Number(must('sqlite3', [database, 'SELECT count(*) FROM entries']));
  if (found !== commits) throw new Error(`${found} of ${commits} commits are in the database`);
  return { commits: commits / took };
}

/** Sizes from 200 to 4000 bytes; contents that do not compress, the same in every run. */
function archive(folder: string, count: number, file: string): Record<string, number> {
  for (let n = 0; n < count; n += 1) {
    const directory = join(folder, `d${Math.floor(n / FILES_PER_DIRECTORY)}`);
    if (n % FILES_PER_DIRECTORY === 0) mkdirSync(directory, { recursive: true });
    const random = createHash('shake256', { outputLength: 200 + ((n * 7919) % 3801) })
      .update(String(n))
      .digest();
    writeFileSync(join(directory, `file${n}`), random);
  }
  must('tar', ['-cf', file, '-C', folder, ...readdirSync(folder)]);
  return { files: count };
}

const [workload, folder = '', ...words] = process.argv.slice(2);
const RUN: Readonly<Record<string, () => Record<string, number>>> = {
  create: () => create(folder, Number(words[0])),
  untar: () => untar(folder, words[0] ?? ''),
  sqlite: () => sqlite(folder, Number(words[0])),
  archive: () => archive(folder, Number(words[0]), words[1] ?? ''),
};
const result = RUN[workload ?? '']?.();
if (result === undefined) throw new Error(`unknown workload "${workload ?? ''}"`);
process.stdout.write(`${JSON.stringify(result)}\n`);
