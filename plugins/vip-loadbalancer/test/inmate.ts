/** The test's end of a process inside a namespace: it plays the agent with the driver, an application, or a client. */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { AddressStatus, ElementValue } from '@holdfast/sdk';
import type { Host } from './two-hosts.js';

export interface Answer {
  readonly status: number;
  readonly body: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

export type Command =
  | { readonly do: 'create'; readonly module: string; readonly configuration: ElementValue; readonly lifetimeMs: number }
  | { readonly do: 'acquire' | 'release' | 'verify' | 'probe' | 'close'; readonly module: string }
  | { readonly do: 'renew'; readonly module: string; readonly everyMs: number }
  | { readonly do: 'ready'; readonly module: string; readonly isReady: boolean; readonly detail: string }
  /** Blocks the event loop, as an agent that hangs. */
  | { readonly do: 'hang'; readonly forMs: number }
  | { readonly do: 'get'; readonly url: string; readonly method?: string; readonly headers?: Readonly<Record<string, string>> }
  /** Listens and echoes. */
  | { readonly do: 'listen'; readonly port: number; readonly host: string }
  /** Connects and stays; `from`: local address. */
  | { readonly do: 'connect'; readonly name: string; readonly host: string; readonly port: number; readonly from?: string }
  | { readonly do: 'state'; readonly name: string }
  | { readonly do: 'send'; readonly name: string; readonly text: string }
  /** Sends bytes on a connection of its own. @returns what came back until it was closed */
  | { readonly do: 'throw'; readonly host: string; readonly port: number; readonly hex: string };

export type Outcome = readonly AddressStatus[] | Answer | string | null;

export type Message =
  | { readonly kind: 'started' }
  | { readonly kind: 'result'; readonly id: number; readonly value: Outcome }
  | { readonly kind: 'failure'; readonly id: number; readonly message: string }
  | { readonly kind: 'log'; readonly text: string };

interface Waiting {
  readonly resolve: (value: Outcome) => void;
  readonly reject: (error: Error) => void;
}

export class Inmate {
  readonly logged: string[] = [];
  private readonly waiting = new Map<number, Waiting>();
  private lastId = 0;

  private constructor(private readonly child: ChildProcess) {}

  /** @param wrapper a command that runs the rest, for example one that takes capabilities away */
  static async start(host: Host, wrapper: readonly string[] = [], environment: Readonly<Record<string, string>> = {}): Promise<Inmate> {
    const script = fileURLToPath(new URL('./inmate-process.js', import.meta.url));
    const child = spawn('nsenter', host.enter(...wrapper, process.execPath, script), {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      env: { ...process.env, ...environment },
    });
    const inmate = new Inmate(child);
    await new Promise<void>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code, signal) => reject(new Error(`the process in the namespace ended early (${code ?? signal})`)));
      child.on('message', (message: Message) => (message.kind === 'started' ? resolve() : inmate.take(message)));
    });
    child.once('exit', () => {
      for (const { reject } of inmate.waiting.values()) reject(new Error('the process in the namespace ended'));
    });
    return inmate;
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  call(command: Command): Promise<Outcome> {
    this.lastId += 1;
    const id = this.lastId;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.child.send({ id, command });
    });
  }

  async get(url: string, method = 'GET'): Promise<Answer> {
    return (await this.call({ do: 'get', url, method })) as Answer;
  }

  /** `connected`, or the code of the error. */
  async connect(name: string, host: string, port: number, from?: string): Promise<string> {
    return (await this.call({ do: 'connect', name, host, port, ...(from === undefined ? {} : { from }) })) as string;
  }

  async states(command: 'verify' | 'probe', module: string): Promise<readonly string[]> {
    return ((await this.call({ do: command, module })) as readonly AddressStatus[]).map(({ state }) => state);
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  async kill(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const exited = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.kill('SIGKILL');
    await exited;
  }

  private take(message: Exclude<Message, { kind: 'started' }>): void {
    if (message.kind === 'log') {
      this.logged.push(message.text);
      return;
    }
    const waiting = this.waiting.get(message.id);
    this.waiting.delete(message.id);
    if (message.kind === 'result') waiting?.resolve(message.value);
    else waiting?.reject(new Error(message.message));
  }
}
