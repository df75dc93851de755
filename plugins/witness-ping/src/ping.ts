/**
 * One address, asked with the system's ping: it has the right to send ICMP that a process may lack, and is needed rarely. One echo request
 * after the other until one is answered, so that a lost packet is not a lost network.
 */
import { execFile } from 'node:child_process';
import { HoldfastError } from '@holdfast/sdk';

const INTERVAL_SECONDS = '0.25';
const OUTPUT_BYTES_MAX = 64 * 1024;
/** For the process to start and end beside its own limit. */
const MARGIN_MS = 500;

export interface Echo {
  readonly answered: boolean;
  /** `10.0.0.107 answered in 0.4 ms`, `no answer from 10.0.0.107`. */
  readonly detail: string;
}

/** @throws HoldfastError HF_WITNESS_STATE when there is no ping to ask with; the signal's reason when it aborts */
export function echo(address: string, timeoutMs: number, signal: AbortSignal): Promise<Echo> {
  const seconds = String(Math.max(1, Math.ceil(timeoutMs / 1_000)));
  const words = ['-n', '-c', '1', '-i', INTERVAL_SECONDS, '-w', seconds, '--', address];
  return new Promise((resolve, reject) => {
    const options = {
      signal,
      timeout: Math.min(timeoutMs, Number(seconds) * 1_000) + (timeoutMs < 1_000 ? 0 : MARGIN_MS),
      killSignal: 'SIGKILL',
      maxBuffer: OUTPUT_BYTES_MAX,
      env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin:/usr/sbin:/sbin', LC_ALL: 'C' },
    } as const;
    execFile('ping', words, options, (error, stdout, stderr) => {
      if (signal.aborted) {
        reject(signal.reason instanceof Error ? signal.reason : new Error('aborted'));
        return;
      }
      if (error === null) {
        const time = /time=([0-9.]+ ms)/.exec(stdout)?.[1];
        resolve({ answered: true, detail: `${address} answered${time === undefined ? '' : ` in ${time}`}` });
      } else if (typeof error.code === 'string' && error.killed !== true) {
        const message = `the program ping cannot be run (${error.code}): install it (Debian: iputils-ping), or use another kind of witness`;
        reject(new HoldfastError('HF_WITNESS_STATE', message, {}, { cause: error }));
      } else {
        const why = stderr.trim().split('\n')[0]?.slice(0, 200) ?? '';
        resolve({ answered: false, detail: `no answer from ${address}${why === '' ? '' : ` (${why})`}` });
      }
    });
  });
}
