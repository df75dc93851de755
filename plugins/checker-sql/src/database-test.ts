/**
 * One test: log in, ask, judge, leave. A connection that is kept would go on working in a database that lets nobody in any more, and would
 * hold up its shutdown. What does not end in time is cut.
 */
import { readFileSync } from 'node:fs';
import { type CheckResult, messageOf, pause } from '@holdfast/sdk';
import type { Target } from './configuration.js';
import { judgeLag, judgeValue } from './judgement.js';
import { openMysql } from './mysql.js';
import { openPostgresql } from './postgresql.js';

/** One login. */
export interface Session {
  /** First column of the first row; undefined when there is no row. @throws Error of the database */
  value(query: string): Promise<unknown>;
  /** How far a replica is behind; a text says why that cannot be said. */
  lag(): Promise<number | string>;
}

/** What both engines need to open a session. */
export interface Login {
  readonly target: Target;
  readonly password: string | undefined;
  readonly ca: string | undefined;
  /** Is called as soon as there is something to cut. */
  readonly opened: (destroy: () => void) => void;
}

/** Failures of this node, not of the database. */
const UNKNOWN_CODES: Readonly<Record<string, string>> = {
  ENOTFOUND: 'the host name is not known',
  EAI_AGAIN: 'the name service does not answer',
  EMFILE: 'this process has no file descriptor left',
  ENFILE: 'this node has no file descriptor left',
  EADDRNOTAVAIL: 'this node has no local address or port left to connect from',
};

class FileError extends Error {}

/** Resolves to undefined when aborted; never rejects, and leaves no connection behind. */
export async function testDatabase(target: Target, signal: AbortSignal): Promise<CheckResult | undefined> {
  const where = placeOf(target);
  let destroy: () => void = () => undefined;
  const limit = new AbortController();
  const stop = (): void => limit.abort();
  signal.addEventListener('abort', stop);
  try {
    const login = { ...readFiles(target), target, opened: (cut: () => void) => (destroy = cut) };
    const asked = ask(login);
    // What a connection says after it was cut is not wanted.
    asked.catch(() => undefined);
    const result = await Promise.race([asked, pause(target.timeoutMs, limit.signal).then(() => undefined)]);
    if (signal.aborted) return undefined;
    if (result === undefined) return { verdict: 'down', detail: `${where} does not answer within ${target.timeoutMs} ms` };
    return { verdict: result.verdict, detail: `${where}: ${result.detail}` };
  } catch (error) {
    return signal.aborted ? undefined : judgeFailure(where, error);
  } finally {
    stop();
    signal.removeEventListener('abort', stop);
    destroy();
  }
}

async function ask(login: Login): Promise<CheckResult> {
  const { demand, engine } = login.target;
  const session = await (engine === 'mysql' ? openMysql(login) : openPostgresql(login));
  if (demand.kind === 'lag') return judgeLag(await session.lag(), demand.lagMsMax);
  return judgeValue(await session.value(demand.query), demand);
}

function judgeFailure(where: string, error: unknown): CheckResult {
  if (error instanceof FileError) return { verdict: 'unknown', detail: `cannot test ${where}: ${error.message}` };
  // Node tries every address of a name and gives one error for each.
  const last: unknown = error instanceof AggregateError ? error.errors.at(-1) : error;
  const code = (last as { code?: unknown }).code;
  const unknown = typeof code === 'string' ? UNKNOWN_CODES[code] : undefined;
  if (unknown !== undefined) return { verdict: 'unknown', detail: `cannot test ${where}: ${unknown}` };
  const message = messageOf(last).replaceAll(/\s+/g, ' ').slice(0, 300);
  return { verdict: 'down', detail: `${where}: ${message === '' ? String(code) : message}` };
}

function readFiles({ passwordFile, caFile }: Target): { readonly password: string | undefined; readonly ca: string | undefined } {
  return { password: readOptional('password_file', passwordFile)?.split(/\r?\n/)[0], ca: readOptional('ca', caFile) };
}

function readOptional(attribute: string, file: string | undefined): string | undefined {
  try {
    return file === undefined ? undefined : readFileSync(file, 'utf8');
  } catch (error) {
    throw new FileError(`${attribute}="${file ?? ''}" cannot be read: ${messageOf(error)}`);
  }
}

function placeOf({ engine, at }: Target): string {
  if (at.kind === 'socket') return `${engine} at ${at.path}`;
  return `${engine} at ${at.host.includes(':') ? `[${at.host}]` : at.host}:${at.port}`;
}
