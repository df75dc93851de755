/** Describes a directory that only the caller's mount namespace shows: `tree-process.js DIRECTORY`. */
import { describeTree } from './tree.js';

for (const [path, description] of describeTree(process.argv[2] as string)) process.stdout.write(`${JSON.stringify(path)} ${description}\n`);
