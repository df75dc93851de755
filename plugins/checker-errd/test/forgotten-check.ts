/** A program that starts a check and ends without stopping it, by the way that its argument says. */
import type { Log } from '@holdfast/sdk';
import { plugin } from '../src/index.js';

const ignore = (): void => undefined;
const log: Log = { debug: ignore, info: ignore, warn: ignore, error: ignore };

plugin.register({
  heartbeatTransport: ignore,
  virtualIpDriver: ignore,
  replicationBackend: ignore,
  witness: ignore,
  checker: (_type, checker) => {
    const [check] = checker.create({ module: 'test', localNode: 'node1', configuration: { proc: [{ name: 'no-such-process' }] }, log });
    // Keeps the program alive until the watch runs; after that nothing does.
    const waiting = setTimeout(ignore, 60_000);
    void check?.start(ignore).then(() => {
      clearTimeout(waiting);
      if (process.argv[2] === 'exit') process.exit(0);
      if (process.argv[2] === 'throw') throw new Error('on purpose');
    });
  },
});
