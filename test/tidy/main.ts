/**
 * The project's own checks, beside linter and formatter: prints `file:line: message` for each finding and fails when there is one.
 * Usage: `node test/dist/tidy/main.js [root]`; the root defaults to this repository.
 */
import { join } from 'node:path';
import { checkTree } from './check.js';
import { describeFinding } from './source.js';
import { readTree } from './tree.js';

const files = readTree(process.argv[2] ?? join(import.meta.dirname, '..', '..', '..'));
const findings = checkTree(files);
for (const finding of findings) console.log(describeFinding(finding));
console.log(
  findings.length === 0 ? `tidy: ${files.length} files, no findings` : `tidy: ${findings.length} findings in ${files.length} files`,
);
process.exitCode = findings.length === 0 ? 0 : 1;
