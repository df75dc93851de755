/**
 * Requests that shell tools do not make, in the working directory; prints what is not so.
 * `large COUNT` reads a directory of COUNT files in pieces while others come and go;
 * `odd-times FILE` sets times that no 53 bits hold;
 * `named COUNT` makes so many files without a name, writes to them, and gives each its name only then;
 * `down LEVELS` makes so many directories, each in the one before, with a file in the last; `at LEVELS COMMAND` runs a command down there.
 */
import { execSync } from 'node:child_process';
import * as fs from 'node:fs';
import koffi from 'koffi';
import { cString, linkat, openat, utimensat } from '../src/system/calls.js';
import { AT_EMPTY_PATH, AT_FDCWD, O_RDWR, O_TMPFILE } from '../src/system/constants.js';

const libc = koffi.load('libc.so.6');
type Native = (...values: unknown[]) => unknown;
const opendir = libc.func('void* opendir(const char*)') as Native;
const readdir = libc.func('void* readdir64(void*)') as Native;
const closedir = libc.func('int closedir(void*)') as Native;
const rewinddir = libc.func('void rewinddir(void*)') as Native;
const telldir = libc.func('long telldir(void*)') as Native;
const chdir = libc.func('int chdir(const char*)') as Native;
const seekdir = libc.func('void seekdir(void*, long)') as Native;

/** `d_name` of a `struct dirent`; undefined at the end. */
function next(directory: unknown): string | undefined {
  const entry = readdir(directory);
  return entry === null ? undefined : (koffi.decode(entry, 19, 'char', 256) as string);
}

function rest(directory: unknown): string[] {
  const names: string[] = [];
  for (let name = next(directory); name !== undefined; name = next(directory)) names.push(name);
  return names;
}

function expect(isSo: boolean, what: string): void {
  if (!isSo) process.stdout.write(`not so: ${what}\n`);
}

function listLarge(count: number): void {
  fs.mkdirSync('large');
  for (let i = 0; i < count; i += 1) fs.writeFileSync(`large/f${i}`, '');
  const stays = new Set(Array.from({ length: count }, (_unused, i) => `f${i}`).filter((_name, i) => i % 3 !== 0));
  const directory = opendir('large');
  const first: string[] = [];
  for (let i = 0; i < count / 4; i += 1) first.push(next(directory) as string);
  const position = telldir(directory);
  for (let i = 0; i < count; i += 3) fs.rmSync(`large/f${i}`);
  for (let i = 0; i < 100; i += 1) fs.writeFileSync(`large/new${i}`, '');
  const second = rest(directory);
  const seen = [...first, ...second].filter((name) => stays.has(name));
  expect(seen.length === stays.size && new Set(seen).size === stays.size, `what stays is listed once: ${seen.length} of ${stays.size}`);
  seekdir(directory, position);
  const again = rest(directory);
  const missing = second.filter((name) => stays.has(name) && !again.includes(name));
  expect(missing.length === 0, `seekdir goes back to where telldir was: ${missing.length} names are missing`);
  rewinddir(directory);
  const all = rest(directory);
  expect(new Set(all).size === all.length && all.length === stays.size + 100 + 2, `rewinddir lists what is there now: ${all.length} names`);
  closedir(directory);
}

function oddTimes(file: string): void {
  const times = Buffer.alloc(32);
  times.writeBigInt64LE(2n ** 61n, 0);
  times.writeBigInt64LE(-(2n ** 61n), 16);
  expect(utimensat(AT_FDCWD, cString(file), times, 0) === 0, 'any time is taken');
}

function nameWhatHasNone(count: number): void {
  for (let i = 0; i < count; i += 1) {
    const fd = openat(AT_FDCWD, cString('.'), O_RDWR | O_TMPFILE, 0o640);
    if (i % 2 === 0) fs.writeSync(fd, 'content');
    expect(linkat(fd, cString(''), AT_FDCWD, cString(`named${i}`), AT_EMPTY_PATH) === 0, `file ${i} gets a name`);
    fs.closeSync(fd);
  }
}

/** @param makes creates what is not there */
function descend(levels: number, makes: boolean): void {
  for (let level = 0; level < levels; level += 1) {
    if (makes) fs.mkdirSync('directory');
    // The path is longer than getcwd(3) tells: only the kernel knows where this process is.
    if (chdir('directory') !== 0) throw new Error(`level ${level} cannot be entered`);
  }
  if (makes) fs.writeFileSync('file', 'deep\n');
}

const [, , what, argument = '', command = ''] = process.argv;
switch (what) {
  case 'large':
    listLarge(Number(argument));
    break;
  case 'odd-times':
    oddTimes(argument);
    break;
  case 'named':
    nameWhatHasNone(Number(argument));
    break;
  case 'down':
    descend(Number(argument), true);
    break;
  case 'at':
    descend(Number(argument), false);
    execSync(command, { stdio: 'inherit' });
    break;
  default:
    throw new Error(`no such request: ${what ?? ''}`);
}
