/**
 * The environment of a module's scripts and checkers: the names of the reference product, our own, and each `<var>`; nothing of the agent's
 * own environment but PATH. Scripts find the product's helpers at the end of PATH, so that the system's own commands come first.
 */
import { dirname, join } from 'node:path';
import type { ModuleConfiguration } from '../model/configuration.js';

export interface ScriptSurroundings {
  readonly node: string;
  readonly configDirectory: string;
  readonly stateDirectory: string;
  /** The applied copy of the module: its conf/ and bin/. */
  readonly applied: string;
  /** The module's own folder for what its scripts keep. */
  readonly work: string;
  /** File of the namespace that has the module's virtual host name. */
  readonly virtualHost: string;
  readonly tools: ScriptTools;
}

/** What the command line brings for scripts. */
export interface ScriptTools {
  /** Folder with `safekit` and `private/bin`; absent: there are no helpers. */
  readonly directory?: string;
  /** Address of the agent's API, for the helpers. */
  readonly api?: string;
}

const SYSTEM_PATH = '/usr/sbin:/usr/bin:/sbin:/bin';

export function scriptEnvironment(configuration: ModuleConfiguration, surroundings: ScriptSurroundings): Record<string, string> {
  return { ...standingEnvironment(configuration, surroundings), ...configuration.scripts?.variables };
}

/** Without the variables, which a running module may get others of. */
export function standingEnvironment(configuration: ModuleConfiguration, surroundings: ScriptSurroundings): Record<string, string> {
  const { node, configDirectory, stateDirectory, applied, work, tools } = surroundings;
  const { name, id, virtualHost } = configuration;
  const safe = tools.directory ?? stateDirectory;
  const safeBin = join(safe, 'private', 'bin');
  return {
    PATH: [dirname(process.execPath), process.env['PATH'] ?? SYSTEM_PATH, safeBin, safe].join(':'),
    HOME: '/root',
    LANG: 'C.UTF-8',
    SAFE: safe,
    SAFEBIN: safeBin,
    SAFEMODULE: name,
    SAFEUSERBIN: join(applied, 'bin'),
    SAFEUSERCONF: join(applied, 'conf'),
    SAFEVAR: stateDirectory,
    SAFEUSERVAR: work,
    HOLDFAST_MODULE: name,
    HOLDFAST_MODULE_ID: String(id),
    HOLDFAST_NODE: node,
    HOLDFAST_CONFIG: configDirectory,
    HOLDFAST_STATE: stateDirectory,
    ...(tools.api === undefined ? {} : { HOLDFAST_API: tools.api }),
    ...(virtualHost === undefined ? {} : { HOLDFAST_VIRTUAL_HOST: surroundings.virtualHost, HOLDFAST_VIRTUAL_HOSTNAME: virtualHost.name }),
  };
}
