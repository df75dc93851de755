/** One run whose exit status is the verdict: 0 up, 3 unknown as monitoring plug-ins say it, anything else down. */
import { type CheckResult, pause } from '@holdfast/sdk';
import { type Ending, type Program, start } from './program.js';

const STATUS_UNKNOWN = 3;
/** What shells say of a program that cannot be run, or is not there. */
const STATUS_NOT_RUN: readonly number[] = [126, 127];

/** Resolves to undefined when aborted; leaves no process behind. */
export async function runOnce(program: Program, timeoutMs: number, signal: AbortSignal): Promise<CheckResult | undefined> {
  const running = start(program);
  const waiting = new AbortController();
  const stop = (): void => waiting.abort();
  signal.addEventListener('abort', stop);
  try {
    const ending = await Promise.race([running.ended, pause(timeoutMs, waiting.signal).then(() => undefined)]);
    if (signal.aborted) return undefined;
    if (ending === undefined) return { verdict: 'down', detail: `${program.name} did not end within ${timeoutMs} ms` };
    return judge(program.name, ending, running.lastLine());
  } finally {
    stop();
    signal.removeEventListener('abort', stop);
    await running.end();
  }
}

function judge(name: string, ending: Ending, lastLine: string): CheckResult {
  const said = lastLine === '' ? '' : `: ${lastLine}`;
  switch (ending.kind) {
    case 'error':
      return { verdict: 'unknown', detail: `${name} could not be started: ${ending.message}` };
    case 'signal':
      return { verdict: 'down', detail: `${name} was ended by ${ending.signal}${said}` };
    case 'exit': {
      if (ending.status === 0) return { verdict: 'up', detail: `${name}${said === '' ? ' is content' : said}` };
      const unknown = ending.status === STATUS_UNKNOWN || STATUS_NOT_RUN.includes(ending.status);
      return { verdict: unknown ? 'unknown' : 'down', detail: `${name} ended with status ${ending.status}${said}` };
    }
  }
}
