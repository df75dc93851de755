/** The command line as a library: its tree of commands, for documentation and completion. */
export { ExitCode } from './exit-code.js';
export { createProgram } from './program.js';
export { run } from './run.js';
