/** Everything that can be said against a configuration before it is stored: the same on the node where it was edited and on the other. */
import { HoldfastError } from '@holdfast/sdk';
import { changesAtRest, isTransitionScript, planChanges } from '../decide/configuration-plan.js';
import type { ParsedModule } from '../config/index.js';
import type { ConfigurationChange, PlannedConfiguration } from '../model/configuration-change.js';
import type { ModuleConfiguration } from '../model/configuration.js';
import { createHash } from 'node:crypto';
import { type LiveChange, prepareLive } from './configuration-live.js';
import type { FolderContent } from './configuration-folder.js';
import { LightRuntime } from './light-runtime.js';
import type { ModuleLoader } from './module-loader.js';
import type { ModuleRuntime } from './module-runtime.js';
import type { ModuleEntry } from './node-files.js';
import { isNeverRun } from './script-hooks.js';

export type Runtime = ModuleRuntime | LightRuntime;

/** What the agent knows of its modules. */
export interface ConfigurationHost {
  /** @throws HoldfastError HF_MODULE_UNKNOWN */
  entry(name: string): Promise<ModuleEntry>;
  /** @throws HoldfastError with every problem of the file */
  parse(entry: ModuleEntry, xml: string, scriptsDigest: string): ParsedModule;
  /** @throws HoldfastError HF_CONFIG_OVERLAP, HF_CONFIG_ADDRESS_SHARED */
  refuseOverlaps(configuration: ModuleConfiguration): Promise<void>;
  /** The module and the configuration that it was opened with, or took since. */
  running(name: string): { readonly runtime: Runtime; readonly planned: PlannedConfiguration } | undefined;
  /** The running module has taken another configuration. */
  taken(name: string, planned: PlannedConfiguration): void;
  /** Opens a stopped module with a configuration, in place of what it had. @throws HoldfastError what cannot be opened */
  reload(entry: ModuleEntry, planned: PlannedConfiguration): Promise<void>;
  /** Takes a stopped module out of service. @throws HoldfastError HF_MODULE_RUNNING */
  unload(name: string): Promise<void>;
}

export interface Examined {
  readonly content: FolderContent;
  readonly planned: PlannedConfiguration;
  /** With all macros resolved. */
  readonly expandedXml: string;
  readonly warnings: readonly string[];
  readonly changes: readonly ConfigurationChange[];
  /** What the running module cannot take. */
  readonly refused: readonly ConfigurationChange[];
  /** The module runs and can take it. */
  readonly live?: LiveChange;
}

const CONFIGURATION_FILE = 'conf/userconfig.xml';
const BIN = 'bin/';

export function isActive<R extends Runtime>(runtime: R | undefined): runtime is R {
  return runtime !== undefined && (runtime.snapshot.phase !== 'STOP' || runtime.snapshot.sequence !== undefined);
}

/** @throws HoldfastError whatever is wrong with it, whether the module runs or not */
export async function examine(
  host: ConfigurationHost,
  loader: ModuleLoader,
  entry: ModuleEntry,
  content: FolderContent,
): Promise<Examined> {
  const { planned, warnings, expandedXml } = planOf(host, entry, content);
  await host.refuseOverlaps(planned.configuration);
  refuseEmptyScripts(content);
  const now = host.running(entry.name);
  const changes = now === undefined ? [] : changesOf(now, planned, loader);
  const isRunning = isActive(now?.runtime);
  const refused = isRunning ? changes.filter(({ live }) => !live) : [];
  const base = { content, planned, expandedXml, warnings: [...warnings, ...scriptWarnings(content)], changes, refused };
  if (!isRunning || refused.length > 0 || now === undefined) return base;
  // Nothing that it reads has changed: what would not be taken is refused above.
  if (now.runtime instanceof LightRuntime) return { ...base, live: async () => undefined };
  return { ...base, live: prepareLive(loader, now.runtime, planned) };
}

function changesOf(
  { runtime, planned: from }: NonNullable<ReturnType<ConfigurationHost['running']>>,
  to: PlannedConfiguration,
  loader: ModuleLoader,
): readonly ConfigurationChange[] {
  const changes = planChanges(from, to, { replicationLive: (type) => loader.replicationLive(type) });
  return runtime instanceof LightRuntime ? changesAtRest(from, to, changes) : changes;
}

/** @throws HoldfastError HF_MODULE_NO_CONFIGURATION, or every problem of the file */
export function planOf(
  host: ConfigurationHost,
  entry: ModuleEntry,
  content: FolderContent,
): { readonly planned: PlannedConfiguration; readonly warnings: readonly string[]; readonly expandedXml: string } {
  const xml = userconfigOf(content);
  if (xml === undefined) {
    const message = `module ${entry.name} has no ${CONFIGURATION_FILE}: a module needs one`;
    throw new HoldfastError('HF_MODULE_NO_CONFIGURATION', message, { module: entry.name });
  }
  const scripts = scriptsOf(content);
  const hash = createHash('sha256').update(JSON.stringify(scripts)).digest('hex');
  const { configuration, lines, warnings, expandedXml } = host.parse(entry, xml, hash);
  return { planned: { configuration, lines, scripts }, warnings, expandedXml };
}

export function userconfigOf({ files }: FolderContent): string | undefined {
  return files.find(({ path }) => path === CONFIGURATION_FILE)?.content.toString('utf8');
}

/** Digest of each file in bin/, with whether it can be run. */
function scriptsOf({ files }: FolderContent): Readonly<Record<string, string>> {
  return Object.fromEntries(
    files
      .filter(({ path }) => path.startsWith(BIN))
      .map(({ path, executable, content }) => [
        path.slice(BIN.length),
        createHash('sha256')
          .update(executable ? 'x' : '-')
          .update(content)
          .digest('hex'),
      ]),
  );
}

/** A file that is still being copied is often empty at first. */
function refuseEmptyScripts({ files }: FolderContent): void {
  const empty = files.find(
    ({ path, content }) => content.length === 0 && path.startsWith(BIN) && isTransitionScript(path.slice(BIN.length)),
  );
  if (empty === undefined) return;
  const message = `${empty.path} is empty: was the folder copied whole? remove the file if the module needs no such script`;
  throw new HoldfastError('HF_CONFIG_SCRIPT_EMPTY', message, { path: empty.path });
}

function scriptWarnings({ files }: FolderContent): readonly string[] {
  const scripts = new Map(files.filter(({ path }) => path.startsWith(BIN)).map((file) => [file.path.slice(BIN.length), file]));
  return [...scripts].flatMap(([name, { executable }]) => {
    if (isNeverRun(name)) return [`bin/${name} is never run: consoles ask for the ${name} all the time; a checker can watch instead`];
    if (!isTransitionScript(name)) return [];
    const counterpart = name.replace(/^start_/, 'stop_');
    const lonely = name.startsWith('start_') && !scripts.has(counterpart);
    return [
      ...(executable ? [] : [`bin/${name} is not executable and will fail: chmod +x`]),
      ...(lonely ? [`bin/${name} has no bin/${counterpart}: what it starts is not stopped`] : []),
    ];
  });
}
