/**
 * An application with an unnamed file: `unnamed-process.js NAME SIGNAL`. Makes it in the working directory, writes, touches SIGNAL.ready,
 * waits for SIGNAL.go, writes again, gives it the name ("-": none) and touches SIGNAL.done.
 */
import * as fs from 'node:fs';
import { cString, fsetxattr, linkat, openat } from '../src/system/calls.js';
import { AT_EMPTY_PATH, AT_FDCWD, O_RDWR, O_TMPFILE } from '../src/system/constants.js';

const [, , name, signal] = process.argv as [string, string, string, string];
const fd = openat(AT_FDCWD, cString('.'), O_RDWR | O_TMPFILE, 0o640);
if (fd < 0) throw new Error(`open failed with ${fd}`);
fs.writeSync(fd, Buffer.alloc(300_000, 'first'), 0, 300_000, 0);
fs.fchownSync(fd, 12, 34);
const labelled = fsetxattr(fd, cString('user.label'), Buffer.from('label'), 5, 0);
if (labelled < 0) throw new Error(`fsetxattr failed with ${labelled}`);
fs.fsyncSync(fd);
fs.writeFileSync(`${signal}.ready`, '');
while (!fs.existsSync(`${signal}.go`)) await new Promise((resolve) => setTimeout(resolve, 20));
fs.writeSync(fd, Buffer.alloc(5000, 'second'), 0, 5000, 200_000);
const linked = name === '-' ? 0 : linkat(fd, cString(''), AT_FDCWD, cString(name), AT_EMPTY_PATH);
if (linked < 0) throw new Error(`linkat failed with ${linked}`);
fs.writeSync(fd, 'end', 400_000);
fs.closeSync(fd);
fs.writeFileSync(`${signal}.done`, '');
