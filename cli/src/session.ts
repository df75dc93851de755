/**
 * What every command has: where the configuration is, the API client with this machine's token, the nodes to act on, and one way to
 * report, for people or as one JSON document.
 */
import { readFile } from 'node:fs/promises';
import { isIPv4 } from 'node:net';
import { join } from 'node:path';
import { HoldfastError, messageOf } from '@holdfast/sdk';
import type { Command } from 'commander';
import { type Client, createClient } from './core.js';
import type { ExitCode } from './exit-code.js';
import { Paint, printable, wantsColour } from './terminal.js';

export interface GlobalOptions {
  readonly configDir: string;
  readonly stateDir: string;
  readonly api: string;
  readonly hosts?: string;
  readonly json?: boolean;
}

export interface NodeOutcome<T> {
  readonly node: string;
  readonly result?: T;
  readonly error?: { readonly code: string; readonly message: string; readonly details: Readonly<Record<string, unknown>> };
}

export class Session {
  readonly paint = new Paint(wantsColour(process.stdout));
  private connected: Client | undefined;

  constructor(
    readonly options: GlobalOptions,
    readonly exit: ExitCode,
  ) {}

  static of(command: Command, exit: ExitCode): Session {
    return new Session(command.optsWithGlobals<GlobalOptions>(), exit);
  }

  get json(): boolean {
    return this.options.json === true;
  }

  /** The agent of this machine. */
  async client(timeoutMs?: number): Promise<Client> {
    this.connected ??= createClient({
      baseUrl: apiAddress(this.options.api),
      token: await readToken(this.options.configDir),
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    });
    return this.connected;
  }

  /** Names of `-H`; undefined: this node alone. */
  async nodes(): Promise<readonly string[] | undefined> {
    const { hosts } = this.options;
    if (hosts === undefined) return undefined;
    if (hosts.trim() === '*') return (await (await this.client()).cluster()).nodes.map(({ name }) => name);
    const names = [...new Set(hosts.split(',').map((name) => name.trim()))].filter((name) => name !== '');
    if (names.length === 0) throw new HoldfastError('HF_CLI_USAGE', `-H "${hosts}" names no node; write node1,node2 or '*'`);
    return names;
  }

  /**
   * Runs a call here, or on each node of `-H`, and reports. Without `-H` an error is the command's; with it, each node has its own outcome
   * and one failure makes the exit code 1.
   */
  async each<T>(call: (client: Client) => Promise<T>, text: (result: T, node: string) => string): Promise<void> {
    const client = await this.client();
    const nodes = await this.nodes();
    if (nodes === undefined) {
      const result = await call(client);
      this.report(result ?? { ok: true }, () => text(result, ''));
      return;
    }
    const outcomes = await Promise.all(nodes.map((node) => outcomeOf(node, call(client.onNode(node)))));
    if (outcomes.some(({ error }) => error !== undefined)) this.exit.code = 1;
    if (this.json) {
      this.report(
        { nodes: outcomes.map((outcome) => ('result' in outcome ? { ...outcome, result: outcome.result ?? { ok: true } } : outcome)) },
        () => '',
      );
      return;
    }
    for (const { node, result, error } of outcomes) {
      if (error === undefined) this.print(indented(node, text(result as T, node)));
      else process.stderr.write(`${node}: ${printable(error.message)} [${error.code}]\n`);
    }
  }

  report(result: unknown, text: () => string): void {
    if (this.json) this.print(JSON.stringify(result, null, 2));
    else this.print(text());
  }

  print(text: string): void {
    if (text !== '') process.stdout.write(`${text}\n`);
  }

  /** A line for people only, beside the result. */
  note(text: string): void {
    if (!this.json) process.stderr.write(`${text}\n`);
  }
}

export async function outcomeOf<T>(node: string, result: Promise<T>): Promise<NodeOutcome<T>> {
  try {
    return { node, result: await result };
  } catch (error) {
    const { code, message, details } =
      error instanceof HoldfastError ? error : new HoldfastError('HF_CLI_INTERNAL', messageOf(error), {}, { cause: error });
    return { node, error: { code, message: message.slice(code.length + 2), details } };
  }
}

/** One line stays on the node's line, more go below it. */
function indented(node: string, text: string): string {
  return text.includes('\n') ? `${node}:\n${text}` : `${node}: ${text}`;
}

/** Only this machine or TLS: the token must not travel in the clear. */
function apiAddress(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new HoldfastError('HF_CLI_USAGE', `--api "${text}" is no address; write it like http://127.0.0.1:9010`);
  }
  const isLocal = url.hostname === 'localhost' || url.hostname === '[::1]' || (isIPv4(url.hostname) && url.hostname.startsWith('127.'));
  if (!isLocal && url.protocol === 'http:') {
    throw new HoldfastError(
      'HF_CLI_API_NOT_LOCAL',
      `--api ${url.origin} is another machine, and the token would travel unencrypted; ` +
        'use -H NODE to reach other nodes through the local agent',
    );
  }
  return url.origin;
}

async function readToken(configDirectory: string): Promise<string> {
  const file = join(configDirectory, 'api.token');
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    switch (code) {
      case 'ENOENT':
        throw new HoldfastError(
          'HF_CLI_TOKEN_MISSING',
          `${file} does not exist: no agent has run with this configuration folder; ` +
            'start it with "systemctl start holdfast" or "holdfast agent", or give --config-dir',
          { file },
        );
      case 'EACCES':
        throw new HoldfastError('HF_CLI_TOKEN_UNREADABLE', `${file} may not be read by this user: run the command as root`, { file });
      default:
        throw new HoldfastError('HF_CLI_TOKEN_UNREADABLE', `${file} cannot be read: ${messageOf(error)}`, { file }, { cause: error });
    }
  }
}
