#!/usr/bin/env node
/** Starts the command line; says in one line what to do when it was never built. */
import { existsSync } from 'node:fs';

const main = new URL('../dist/src/main.js', import.meta.url);
if (existsSync(main)) {
  await import(main.href);
} else {
  process.stderr.write('holdfast: this copy is not built yet: run "npm install && npm run build" in its folder\n');
  process.exitCode = 1;
}
