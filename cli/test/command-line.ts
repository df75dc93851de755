/** The real command in a child process, against the real API of two nodes whose modules are played in memory. */
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type * as MemoryAgents from '../../core/test/api-memory-agent.js';

const COMMAND = fileURLToPath(new URL('../../bin/holdfast.js', import.meta.url));
const RUN_TIMEOUT_MS = 20_000;

/** From the core's tests, which its package does not export. */
export async function loadMemoryAgents(): Promise<typeof MemoryAgents> {
  return (await import(new URL('../../../core/dist/test/api-memory-agent.js', import.meta.url).href)) as typeof MemoryAgents;
}

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly outcome: Promise<Outcome>;
  /** What stdout holds so far. */
  stdout(): string;
  stderr(): string;
  kill(signal: NodeJS.Signals): void;
}

export class CommandLine {
  private constructor(
    readonly folder: string,
    readonly api: string,
  ) {}

  /** A configuration folder of its own, with the token when there is one. */
  static async create(api: string, token?: string): Promise<CommandLine> {
    const folder = await mkdtemp(join(tmpdir(), 'holdfast-cli-'));
    if (token !== undefined) await writeFile(join(folder, 'api.token'), `${token}\n`, { mode: 0o600 });
    return new CommandLine(folder, api);
  }

  async remove(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }

  run(...words: string[]): Promise<Outcome> {
    return this.start(words).outcome;
  }

  start(words: readonly string[], environment: Readonly<Record<string, string>> = {}): Running {
    const inherited = Object.fromEntries(
      Object.entries(process.env).filter(([name]) => !/^(HOLDFAST_|SAFEMODULE|NO_COLOR|FORCE_COLOR|NODE_V8)/.test(name)),
    );
    const child = spawn(process.execPath, [COMMAND, '--api', this.api, ...words], {
      env: { ...inherited, HOLDFAST_CONFIG: this.folder, ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    const limit = setTimeout(() => child.kill('SIGKILL'), RUN_TIMEOUT_MS);
    const outcome = new Promise<Outcome>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code) => {
        clearTimeout(limit);
        resolve({ code, stdout, stderr });
      });
    });
    return { outcome, stdout: () => stdout, stderr: () => stderr, kill: (signal) => child.kill(signal) };
  }
}

export async function until(what: string, condition: () => boolean, timeoutMs = 10_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
