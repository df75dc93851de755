#!/usr/bin/env node
/** Starts the command line under the name, and with the words, that existing scripts use. */
import { existsSync } from 'node:fs';

const main = new URL('../dist/src/main-safekit.js', import.meta.url);
if (existsSync(main)) {
  await import(main.href);
} else {
  process.stderr.write('safekit: this copy is not built yet: run "npm install && npm run build" in its folder\n');
  process.exitCode = 1;
}
