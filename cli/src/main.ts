/** Entry point of the `holdfast` command: runs one command line and sets the exit code; never cuts output short with process.exit. */
import { run } from './run.js';

// `holdfast log | head`: the reader went away, which is no error.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    throw error;
  });
}

process.exitCode = await run(process.argv.slice(2));
