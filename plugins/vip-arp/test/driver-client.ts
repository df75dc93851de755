/** The test's end of a driver that runs in a namespace. */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { AddressStatus, ConflictVerdict, ElementValue } from '@holdfast/sdk';
import type { Host } from './network-lab.js';

export interface DriverOptions {
  readonly configuration: ElementValue;
  readonly localAddresses: readonly string[];
  readonly lifetimeMs: number;
}

type Command =
  | { readonly method: 'create'; readonly options: DriverOptions }
  | { readonly method: 'probe' | 'acquire' | 'renew' | 'verify' | 'close' | 'handles' }
  | { readonly method: 'release'; readonly aborted?: boolean; readonly resetConnections?: boolean }
  | { readonly method: 'keepRenewing'; readonly intervalMs: number }
  | { readonly method: 'judge'; readonly verdict: ConflictVerdict }
  | { readonly method: 'inject'; readonly etherType: number; readonly frames: readonly string[] };

export type DriverRequest = Command & { readonly id: number };

export type DriverEvent =
  | { readonly kind: 'ready' }
  | { readonly kind: 'result'; readonly id: number; readonly value: readonly AddressStatus[] | number | null }
  | { readonly kind: 'failure'; readonly id: number; readonly message: string }
  | { readonly kind: 'conflict'; readonly status: AddressStatus }
  | { readonly kind: 'log'; readonly level: string; readonly message: string; readonly fields: Readonly<Record<string, unknown>> };

interface Waiting {
  readonly resolve: (value: readonly AddressStatus[] | number | null) => void;
  readonly reject: (error: Error) => void;
}

export class DriverClient {
  readonly conflicts: AddressStatus[] = [];
  readonly logged: string[] = [];
  private readonly child: ChildProcess;
  private readonly waiting = new Map<number, Waiting>();
  private lastId = 0;

  private constructor(child: ChildProcess) {
    this.child = child;
  }

  /** @param wrapper a command that runs the rest, for example one that takes capabilities away */
  static async start(host: Host, wrapper: readonly string[] = []): Promise<DriverClient> {
    const script = fileURLToPath(new URL('./driver-process.js', import.meta.url));
    const child = spawn('nsenter', host.enter(...wrapper, process.execPath, script), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    const client = new DriverClient(child);
    await new Promise<void>((resolve, reject) => {
      child.once('exit', (code, signal) => reject(new Error(`the driver process ended early (${code ?? signal})`)));
      child.on('message', (event: DriverEvent) => (event.kind === 'ready' ? resolve() : client.take(event)));
    });
    child.once('exit', () => {
      for (const { reject } of client.waiting.values()) reject(new Error('the driver process ended'));
    });
    return client;
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  create(options: DriverOptions): Promise<void> {
    return this.call({ method: 'create', options }).then(() => undefined);
  }

  statuses(method: 'probe' | 'verify'): Promise<readonly AddressStatus[]> {
    return this.call({ method }) as Promise<readonly AddressStatus[]>;
  }

  async state(method: 'probe' | 'verify'): Promise<readonly string[]> {
    return (await this.statuses(method)).map((status) => status.state);
  }

  call(command: Command): Promise<readonly AddressStatus[] | number | null> {
    this.lastId += 1;
    const id = this.lastId;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.child.send({ ...command, id });
    });
  }

  async kill(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const exited = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.kill('SIGKILL');
    await exited;
  }

  private take(event: DriverEvent): void {
    switch (event.kind) {
      case 'ready':
        break;
      case 'result':
        this.waiting.get(event.id)?.resolve(event.value);
        this.waiting.delete(event.id);
        break;
      case 'failure':
        this.waiting.get(event.id)?.reject(new Error(event.message));
        this.waiting.delete(event.id);
        break;
      case 'conflict':
        this.conflicts.push(event.status);
        break;
      case 'log':
        this.logged.push(`${event.level} ${event.message} ${JSON.stringify(event.fields)}`);
        break;
    }
  }
}
