/**
 * Finds plug-ins by their plugin.json and verifies everything that can be verified without running their code. A plug-in that fails is
 * reported as refused with one sentence, and the others go on.
 */
import { type HoldfastError, type PluginManifest, HoldfastError as CodedError, messageOf } from '@holdfast/sdk';
import type { Dirent } from 'node:fs';
import { readdir, realpath, stat } from 'node:fs/promises';
import { basename, isAbsolute, join, relative, resolve } from 'node:path';
import { CORE_PARENT } from '../config/core-elements.js';
import { type JsonSchema, compileElementSchema } from '../config/element-schema.js';
import type { ContributedSchema } from '../config/module-elements.js';
import { type HostEnvironment, checkCompatibility, currentEnvironment } from './compatibility.js';
import { orderByDependencies } from './dependencies.js';
import { pluginError } from './errors.js';
import { EXTENSION_POINTS, MANIFEST_NAME, readJson, readManifest } from './manifest.js';

export interface VerifiedPlugin {
  readonly state: 'verified';
  readonly id: string;
  readonly version: string;
  /** Absolute path of the plug-in's folder. */
  readonly directory: string;
  readonly manifest: PluginManifest;
  /** Absolute path of the ES module, inside `directory`. */
  readonly main: string;
  readonly elements: readonly ContributedSchema[];
}

export interface RefusedPlugin {
  readonly state: 'refused';
  /** The folder's name when the manifest does not tell. */
  readonly id: string;
  /** Empty when the manifest does not tell. */
  readonly version: string;
  readonly directory: string;
  readonly error: HoldfastError;
}

export type DiscoveredPlugin = VerifiedPlugin | RefusedPlugin;

/** Whose schemas may use regular expressions: a hostile one can stop the event loop for seconds. */
const TRUSTED_PUBLISHER = 'holdfast';

/**
 * Verified plug-ins in the order to start them, dependencies first, then the refused ones.
 * @param directories each holds one folder per plug-in; one that does not exist holds none; of two equal ids the first counts.
 * @throws HoldfastError HF_PLUGIN_DIRECTORY when a directory exists and cannot be read.
 */
export async function discoverPlugins(
  directories: readonly string[],
  environment: HostEnvironment = currentEnvironment(),
): Promise<readonly DiscoveredPlugin[]> {
  const verified: VerifiedPlugin[] = [];
  const refused: RefusedPlugin[] = [];
  const claims = new Claims();
  for (const directory of directories) {
    for (const folder of await pluginFolders(resolve(directory))) {
      const found = await verify(folder, environment);
      const plugin = found.state === 'verified' ? claimed(found, claims) : found;
      if (plugin.state === 'verified') verified.push(plugin);
      else refused.push(plugin);
    }
  }
  const ordered = orderByDependencies(verified);
  for (const { plugin, error } of ordered.refused) refused.push(refuse(plugin, error));
  return [...ordered.order, ...refused];
}

/** What the verified plug-ins contribute to userconfig.xml. */
export function contributedElements(plugins: readonly DiscoveredPlugin[]): readonly ContributedSchema[] {
  return plugins.flatMap((plugin) => (plugin.state === 'verified' ? plugin.elements : []));
}

async function pluginFolders(directory: string): Promise<readonly string[]> {
  let entries: Dirent[];
  try {
    entries = await readdir(directory, { withFileTypes: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw new CodedError('HF_PLUGIN_DIRECTORY', `the plug-in directory ${directory} cannot be read: ${messageOf(error)}`, { directory });
  }
  const folders: string[] = [];
  for (const { name } of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const folder = join(directory, name);
    if (await exists(join(folder, MANIFEST_NAME))) folders.push(folder);
  }
  return folders;
}

/** Anything but "no such thing" counts as there, so that it is read, fails and is reported. */
async function exists(file: string): Promise<boolean> {
  try {
    await stat(file);
    return true;
  } catch (error) {
    return !['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '');
  }
}

async function verify(directory: string, environment: HostEnvironment): Promise<DiscoveredPlugin> {
  let known = { id: basename(directory), version: '' };
  try {
    const manifest = await readManifest(join(directory, MANIFEST_NAME), known.id);
    const { id, version } = manifest;
    known = { id, version };
    checkCompatibility(manifest, environment);
    const main = await fileInside(directory, manifest.main, id, 'main');
    const elements = await readElements(directory, manifest);
    return { state: 'verified', id, version, directory, manifest, main, elements };
  } catch (error) {
    return refuse({ ...known, directory }, error);
  }
}

function refuse({ id, version, directory }: Pick<RefusedPlugin, 'id' | 'version' | 'directory'>, error: unknown): RefusedPlugin {
  const coded = error instanceof CodedError ? error : pluginError('HF_PLUGIN_MANIFEST', id, `cannot be read: ${messageOf(error)}`, error);
  return { state: 'refused', id, version, directory, error: coded };
}

/** The absolute path of a file that the manifest names; it must stay in the folder after symbolic links are followed. */
async function fileInside(directory: string, path: string, id: string, key: string): Promise<string> {
  const outside = `names "${path}" as ${key}, which lies outside its folder`;
  if (isAbsolute(path) || path.includes('\\') || path.includes('\0') || path.split('/').includes('..')) {
    throw pluginError('HF_PLUGIN_PATH', id, outside);
  }
  let real: string;
  let folder: string;
  try {
    folder = await realpath(directory);
    real = await realpath(join(directory, path));
    if (!(await stat(real)).isFile()) throw new Error('it is not a file');
  } catch (error) {
    throw pluginError('HF_PLUGIN_PATH', id, `names "${path}" as ${key}, which cannot be read (is it built?): ${messageOf(error)}`, error);
  }
  const within = relative(folder, real);
  if (within.startsWith('..') || isAbsolute(within)) throw pluginError('HF_PLUGIN_PATH', id, `${outside}: it leads to ${real}`);
  return real;
}

async function readElements(directory: string, manifest: PluginManifest): Promise<readonly ContributedSchema[]> {
  const elements: ContributedSchema[] = [];
  for (const point of EXTENSION_POINTS) {
    for (const { type, configuration } of manifest.contributes[point] ?? []) {
      if (configuration === undefined) continue;
      const { element, parent } = configuration;
      const schema = await readSchema(directory, manifest, configuration.schema);
      elements.push({ plugin: manifest.id, point, type, element, parent, schema });
    }
  }
  return elements;
}

async function readSchema(directory: string, { id, publisher }: PluginManifest, path: string): Promise<JsonSchema> {
  const file = await fileInside(directory, path, id, 'schema');
  const fail = (reason: string): never => {
    throw pluginError('HF_PLUGIN_SCHEMA', id, `has a schema ${path} that cannot be used: ${reason}`);
  };
  try {
    const schema = await readJson(file);
    if (typeof schema !== 'object' || schema === null || Array.isArray(schema)) return fail('it is not a JSON object');
    if (publisher !== TRUSTED_PUBLISHER && usesPattern(schema)) {
      return fail('pattern and patternProperties are not allowed, because a regular expression can stop the node; use format or enum');
    }
    compileElementSchema(schema as JsonSchema);
    return schema as JsonSchema;
  } catch (error) {
    if (error instanceof CodedError && error.code === 'HF_PLUGIN_SCHEMA') throw error;
    return fail(messageOf(error));
  }
}

/** Keywords whose values are names to schemas, and those whose values are data. */
const MAPS = new Set(['properties', '$defs', 'definitions', 'dependentSchemas']);
const DATA = new Set(['const', 'enum', 'default', 'examples']);

function usesPattern(schema: object): boolean {
  return Object.entries(schema).some(([keyword, value]) => {
    if (keyword === 'pattern' || keyword === 'patternProperties') return true;
    if (DATA.has(keyword) || typeof value !== 'object' || value === null) return false;
    const parts: unknown[] = Array.isArray(value) || MAPS.has(keyword) ? Object.values(value as object) : [value];
    return parts.some((part) => typeof part === 'object' && part !== null && usesPattern(part));
  });
}

/** Who was first with an id, a type of an extension point, or an element of userconfig.xml. */
class Claims {
  readonly #ids = new Map<string, string>();
  readonly #contributions = new Map<string, string>();

  /** @throws HoldfastError without claiming anything when another plug-in came first. */
  take({ id, directory, manifest, elements }: VerifiedPlugin): void {
    const first = this.#ids.get(id);
    if (first !== undefined) throw pluginError('HF_PLUGIN_DUPLICATE', id, `in ${directory} has the id of the one in ${first}`);
    const wanted: string[] = [];
    for (const point of EXTENSION_POINTS) for (const { type } of manifest.contributes[point] ?? []) wanted.push(`${point} ${type}`);
    for (const { element, parent } of elements) {
      wanted.push(`element <${element}> of <${parent}>`);
      if (Object.hasOwn(CORE_PARENT, element))
        throw pluginError('HF_PLUGIN_CONTRIBUTION', id, `contributes <${element}>, which belongs to the core`);
    }
    const seen = new Set<string>();
    for (const what of wanted) {
      const owner = seen.has(what) ? id : this.#contributions.get(what);
      if (owner !== undefined)
        throw pluginError('HF_PLUGIN_CONTRIBUTION', id, `contributes ${what}, which plug-in "${owner}" contributes already`);
      seen.add(what);
    }
    this.#ids.set(id, directory);
    for (const what of wanted) this.#contributions.set(what, id);
  }
}

function claimed(plugin: VerifiedPlugin, claims: Claims): DiscoveredPlugin {
  try {
    claims.take(plugin);
    return plugin;
  } catch (error) {
    return refuse(plugin, error);
  }
}
