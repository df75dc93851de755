/** Entry point of `safekit`. `-p` prints the folders, as scripts read them. */
import { rewriteSafekit } from './safekit.js';
import { runGuarded } from './run.js';

const FOLDERS = ['SAFE', 'SAFEBIN', 'SAFEVAR', 'SAFEMODULE', 'SAFEUSERBIN', 'SAFEUSERCONF', 'SAFEUSERVAR'];

const words = process.argv.slice(2);
if (words[0] === '-p') for (const name of FOLDERS) process.stdout.write(`${name}=${process.env[name] ?? ''}\n`);
else process.exitCode = await runGuarded(() => rewriteSafekit(words));
