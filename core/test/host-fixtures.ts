/** Real plug-in folders in a temporary directory, each with a plugin.json and an ES module, and a host over them. */
import type { Log } from '@holdfast/sdk';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type DiscoveredPlugin, PluginHost, discoverPlugins } from '../src/host/index.js';

export type Manifest = Record<string, unknown>;

/** Where the modules of the tests, which are loaded from files, find the function that writes their events down. */
const EVENTS = Symbol.for('holdfast.test.plugin-events');

export const CHECKER = "context.checker('CHECK', { create: () => [] });";

/** Code of a plug-in that registers its declared checker and reports what is called. */
export function pluginCode(
  id: string,
  methods = `async start() { note('start ${id}'); }, async stop() { note('stop ${id}'); },`,
  register = CHECKER,
): string {
  const note = 'const note = (event) => globalThis[Symbol.for("holdfast.test.plugin-events")]?.(event);';
  return `${note}\nexport const plugin = { register(context) { ${register.replace('CHECK', id)} }, ${methods} };\n`;
}

export class PluginYard {
  readonly root: string;
  readonly plugins: string;
  readonly events: string[] = [];
  readonly logged: string[] = [];

  private constructor(root: string) {
    this.root = root;
    this.plugins = join(root, 'plugins');
  }

  static async create(): Promise<PluginYard> {
    const yard = new PluginYard(await mkdtemp(join(tmpdir(), 'holdfast-plugins-')));
    await mkdir(yard.plugins);
    Reflect.set(globalThis, EVENTS, (event: string) => yard.events.push(event));
    return yard;
  }

  async remove(): Promise<void> {
    Reflect.deleteProperty(globalThis, EVENTS);
    await rm(this.root, { recursive: true, force: true });
  }

  manifest(id: string, change: Manifest = {}): Manifest {
    return {
      manifestVersion: 1,
      id,
      version: '1.0.0',
      publisher: 'acme',
      title: id,
      license: 'MIT',
      engines: { sdk: '^0.1.0', node: '>=20' },
      main: 'index.js',
      contributes: { checker: [{ type: id, api: 1 }] },
      budgets: { startMs: 2000, stopMs: 2000 },
      ...change,
    };
  }

  /** Writes a plug-in; `files` may replace or add any file, `change` any key of the manifest. */
  async add(id: string, change: Manifest = {}, code = pluginCode(id), files: Readonly<Record<string, string>> = {}): Promise<string> {
    const folder = join(this.plugins, id);
    const all = {
      'plugin.json': JSON.stringify(this.manifest(id, change)),
      'package.json': '{"type":"module"}',
      'index.js': code,
      ...files,
    };
    for (const [name, text] of Object.entries(all)) {
      await mkdir(dirname(join(folder, name)), { recursive: true });
      await writeFile(join(folder, name), text);
    }
    return folder;
  }

  /** Waits until a plug-in has written this event. */
  async until(event: string, deadlineMs = 5_000): Promise<void> {
    const beganMs = performance.now();
    while (!this.events.includes(event)) {
      if (performance.now() - beganMs > deadlineMs)
        throw new Error(`no event "${event}" within ${deadlineMs} ms, only ${this.events.join()}`);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  discover(): Promise<readonly DiscoveredPlugin[]> {
    return discoverPlugins([this.plugins]);
  }

  host(): PluginHost {
    const write = (message: string): void => void this.logged.push(message);
    const log: Log = { debug: write, info: write, warn: write, error: write };
    return new PluginHost({ stateDirectory: join(this.root, 'state'), logOf: () => log });
  }

  /** A host that loaded and started everything in the yard. */
  async started(): Promise<PluginHost> {
    const host = this.host();
    await host.load(await this.discover());
    await host.start();
    return host;
  }
}

export function states(host: PluginHost): Readonly<Record<string, string>> {
  return Object.fromEntries(
    host.describe().map(({ id, state, error }) => [id, error === undefined ? state : `${state} ${error.split(':')[0] ?? ''}`]),
  );
}
