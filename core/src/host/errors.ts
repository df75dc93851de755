/** Every code that the plug-in host can answer with, and what it means. Each message names the plug-in. */
import { HoldfastError } from '@holdfast/sdk';

export const PLUGIN_ERRORS = {
  HF_PLUGIN_DIRECTORY: 'A directory of plug-ins exists but cannot be read.',
  HF_PLUGIN_MANIFEST: 'The plugin.json is not JSON, is too large, or does not follow the manifest schema.',
  HF_PLUGIN_VERSION: 'The version of the plug-in is not a semantic version.',
  HF_PLUGIN_RANGE: 'A version range is not valid, or is open and would accept versions that do not exist yet.',
  HF_PLUGIN_SDK: 'The plug-in was made for another version of the SDK.',
  HF_PLUGIN_NODE: 'The plug-in needs another version of Node.js.',
  HF_PLUGIN_PLATFORM: 'The plug-in does not run on this operating system or processor.',
  HF_PLUGIN_PATH: 'A file that the manifest names is missing or lies outside the folder of the plug-in.',
  HF_PLUGIN_SCHEMA: 'The JSON schema of a contributed element cannot be used.',
  HF_PLUGIN_DUPLICATE: 'Another plug-in with the same id comes first.',
  HF_PLUGIN_CONTRIBUTION: 'The type or element that the plug-in contributes belongs to the core or to another plug-in.',
  HF_PLUGIN_DEPENDENCY: 'A plug-in that this one needs is missing, has another version, or does not run.',
  HF_PLUGIN_DEPENDENCY_CYCLE: 'Plug-ins need each other in a circle.',
  HF_PLUGIN_LOAD: 'The module of the plug-in cannot be imported, or importing it takes too long.',
  HF_PLUGIN_EXPORT: 'The module of the plug-in has no export named plugin with the methods of the contract.',
  HF_PLUGIN_REGISTER: 'The register method of the plug-in failed or is asynchronous.',
  HF_PLUGIN_REGISTER_UNDECLARED: 'The plug-in registers a type that its manifest does not declare.',
  HF_PLUGIN_REGISTER_MISSING: 'The plug-in does not register a type that its manifest declares.',
  HF_PLUGIN_IMPLEMENTATION: 'A registered implementation lacks a method of its contract.',
  HF_PLUGIN_START: 'The plug-in failed to start.',
  HF_PLUGIN_START_TIMEOUT: 'The plug-in did not start within its budget.',
  HF_PLUGIN_STOP: 'The plug-in failed to stop.',
  HF_PLUGIN_STOP_TIMEOUT: 'The plug-in did not stop within its budget.',
  HF_PLUGIN_RECONFIGURE: 'The plug-in refused a new context; the old one stays.',
  HF_PLUGIN_STATE: 'The plug-in is not in a state that allows what was asked, or is not known.',
} as const satisfies Readonly<Record<string, string>>;

export type PluginErrorCode = keyof typeof PLUGIN_ERRORS;

/** `plugin "id" …`: the plug-in is in the message and in `details.plugin`. */
export function pluginError(code: PluginErrorCode, plugin: string, message: string, cause?: unknown): HoldfastError {
  return new HoldfastError(code, `plug-in "${plugin}" ${message}`, { plugin }, cause === undefined ? {} : { cause });
}
