/**
 * An application that works on files, for the campaigns. `load-client.js work KIND DIRECTORY NUMBER` goes on until its standard input ends,
 * with numbers from NUMBER on, and prints `promised …` for everything that its program has been told is durable. `check KIND DIRECTORY`
 * reads all that was promised from its standard input and prints a line for everything that does not hold.
 */
import { execFileSync, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { LoadKind } from './load-kind.js';
import { qemuLoad } from './qemu-load.js';

const [action = '', kind = '', directory = '', first = '0'] = process.argv.slice(2);
const KEPT_MESSAGES = 50;

const say = (text: string): void => {
  fs.writeSync(1, `${text}\n`);
};
const promise = (text: string): void => say(`promised ${text}`);
const lost = (text: string): void => say(`lost ${text}`);

/** Renamed, removed and new names are durable when their directory is. */
function syncPath(path: string): void {
  const fd = fs.openSync(path, 'r');
  fs.fsyncSync(fd);
  fs.closeSync(fd);
}

const database = join(directory, 'data.db');
const sqlite: LoadKind = {
  async work(isEnding) {
    const shell = spawn('stdbuf', ['-oL', 'sqlite3', '-batch', '-bail', database], { stdio: ['pipe', 'pipe', 'inherit'] });
    const lines = createInterface({ input: shell.stdout })[Symbol.asyncIterator]();
    shell.stdin.write('.timeout 5000\nPRAGMA journal_mode=WAL;\nPRAGMA synchronous=FULL;\nPRAGMA wal_autocheckpoint=20;\n');
    shell.stdin.write('CREATE TABLE IF NOT EXISTS entry (number INTEGER PRIMARY KEY, text TEXT NOT NULL);\n.print ready\n');
    for (let line = await lines.next(); line.value !== 'ready'; line = await lines.next()) if (line.done === true) return;
    for (let number = Number(first); !isEnding(); number += 1) {
      shell.stdin.write(`INSERT INTO entry VALUES (${number}, hex(randomblob(400)));\n.print ${number}\n`);
      const line = await lines.next();
      if (line.done === true) return;
      promise(line.value);
    }
    shell.stdin.end();
  },
  check(promised) {
    const query = (sql: string): string[] => execFileSync('sqlite3', [database, sql], { encoding: 'utf8' }).trim().split('\n');
    const [verdict = ''] = query('PRAGMA integrity_check;');
    if (verdict !== 'ok') say(`the database is damaged: ${verdict}`);
    const present = new Set(query('SELECT number FROM entry;'));
    for (const number of promised) if (!present.has(number)) lost(number);
  },
};

const repository = join(directory, 'repository');
const inRepository = (...words: readonly string[]): string =>
  execFileSync('git', ['-C', repository, '-c', 'user.name=load', '-c', 'user.email=load@localhost', ...words], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, HOME: directory, GIT_CONFIG_NOSYSTEM: '1' },
  }).trim();
const git: LoadKind = {
  async work(isEnding) {
    if (!fs.existsSync(join(repository, '.git/HEAD'))) {
      fs.mkdirSync(repository, { recursive: true });
      inRepository('init', '-q', '-b', 'main');
    }
    // What a crash leaves, and every user of git knows.
    for (const lock of ['index.lock', 'HEAD.lock', 'refs/heads/main.lock']) fs.rmSync(join(repository, '.git', lock), { force: true });
    for (let number = Number(first); !isEnding(); number += 1) {
      fs.writeFileSync(join(repository, `file ${number % 40}`), `content ${number}\n`);
      inRepository('-c', 'core.fsync=all', 'add', '--all');
      inRepository('-c', 'core.fsync=all', '-c', 'gc.auto=0', 'commit', '-q', '--allow-empty', '-m', `commit ${number}`);
      promise(inRepository('rev-parse', 'HEAD'));
      await new Promise((resolve) => setImmediate(resolve));
    }
  },
  check(promised) {
    try {
      inRepository('fsck', '--strict', '--full', '--no-dangling');
    } catch (error) {
      say(`git fsck: ${String(error)}`);
    }
    const present = new Set(inRepository('log', '--format=%H').split('\n'));
    for (const commit of promised) if (!present.has(commit)) lost(commit);
  },
};

const [spool, inbox] = ['tmp', 'new'].map((name) => join(directory, name)) as [string, string];
const textOf = (number: number): string => `message ${number}\n`.repeat(1 + (number % 700));
const maildir: LoadKind = {
  async work(isEnding) {
    for (const path of [spool, inbox]) fs.mkdirSync(path, { recursive: true });
    for (let number = Number(first); !isEnding(); number += 1) {
      const fd = fs.openSync(join(spool, String(number)), 'w');
      fs.writeSync(fd, textOf(number));
      fs.fsyncSync(fd);
      fs.closeSync(fd);
      fs.renameSync(join(spool, String(number)), join(inbox, String(number)));
      syncPath(inbox);
      promise(`there ${number}`);
      const old = number - KEPT_MESSAGES;
      if (number % 2 === 0 && old >= Number(first)) {
        // From here on both are allowed, until the removal is durable.
        promise(`going ${old}`);
        fs.unlinkSync(join(inbox, String(old)));
        syncPath(inbox);
        promise(`gone ${old}`);
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
  },
  check(promised) {
    const state = new Map<string, string>();
    for (const line of promised) {
      const [word = '', number = ''] = line.split(' ');
      state.set(number, word);
    }
    for (const [number, word] of state) {
      const path = join(inbox, number);
      const isThere = fs.existsSync(path);
      if (word === 'there' && (!isThere || fs.readFileSync(path, 'utf8') !== textOf(Number(number)))) lost(`message ${number}`);
      if (word === 'gone' && isThere) lost(`the removal of message ${number}`);
    }
  },
};

const qemu = qemuLoad(directory, Number(first), { say, promise, lost, syncPath });
const KINDS: Readonly<Record<string, LoadKind>> = { sqlite, git, maildir, 'qemu-img': qemu };
const chosen = KINDS[kind];
if (chosen === undefined) throw new Error(`no load "${kind}"`);
if (action === 'check') {
  chosen.check(
    fs
      .readFileSync(0, 'utf8')
      .split('\n')
      .filter((line) => line !== ''),
  );
} else {
  fs.mkdirSync(directory, { recursive: true });
  let isEnding = false;
  process.stdin.on('end', () => (isEnding = true)).resume();
  await chosen.work(() => isEnding);
  process.stdin.destroy();
}
