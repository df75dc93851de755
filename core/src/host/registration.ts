/**
 * What a plug-in sees while it registers: it can hand over implementations of the types that its manifest declares, all of them and
 * nothing else. What it hands over counts only when all of it is right.
 */
import { HoldfastError, type ExtensionPoint, type Plugin, type PluginManifest, type RegisterContext, messageOf } from '@holdfast/sdk';
import { type PluginErrorCode, pluginError } from './errors.js';
import { EXTENSION_POINTS } from './manifest.js';
import type { AnyExtension } from './registry.js';

const REQUIRED_METHODS: Readonly<Record<ExtensionPoint, readonly string[]>> = {
  heartbeatTransport: ['open'],
  virtualIpDriver: ['create'],
  replicationBackend: ['directories', 'open'],
  checker: ['create'],
  witness: ['create'],
};

/** @throws HoldfastError when `register` fails, or does not register exactly what the manifest declares. */
export function registerPlugin(plugin: Plugin, manifest: PluginManifest): readonly AnyExtension[] {
  const { id } = manifest;
  const registered = new Map<string, AnyExtension>();
  let open = true;
  // The first problem counts even when the plug-in catches it.
  let problem: HoldfastError | undefined;
  const refuse = (code: PluginErrorCode, message: string): never => {
    const error = pluginError(code, id, message);
    problem ??= error;
    throw error;
  };
  const accept = (extension: AnyExtension): void => {
    const { point, type, implementation } = extension;
    const what = `${point} "${type}"`;
    if (!open) refuse('HF_PLUGIN_REGISTER', `registers ${what} after its register method returned`);
    const declared = (manifest.contributes[point] ?? []).map((contribution) => contribution.type);
    if (!declared.includes(type)) {
      const list = declared.length === 0 ? 'no type' : declared.join(', ');
      refuse('HF_PLUGIN_REGISTER_UNDECLARED', `registers ${what}, but its plugin.json declares ${list} there`);
    }
    if (registered.has(what)) refuse('HF_PLUGIN_REGISTER', `registers ${what} twice`);
    const candidate: unknown = implementation;
    const missing = REQUIRED_METHODS[point].filter((method) => !hasMethod(candidate, method));
    if (missing.length > 0) refuse('HF_PLUGIN_IMPLEMENTATION', `registers ${what} without the method ${missing.join(', ')}`);
    registered.set(what, extension);
  };
  const context: RegisterContext = {
    heartbeatTransport: (type, implementation) => accept({ point: 'heartbeatTransport', type, plugin: id, implementation }),
    virtualIpDriver: (type, implementation) => accept({ point: 'virtualIpDriver', type, plugin: id, implementation }),
    replicationBackend: (type, implementation) => accept({ point: 'replicationBackend', type, plugin: id, implementation }),
    checker: (type, implementation) => accept({ point: 'checker', type, plugin: id, implementation }),
    witness: (type, implementation) => accept({ point: 'witness', type, plugin: id, implementation }),
  };
  try {
    callRegister(plugin, context, id);
  } finally {
    open = false;
  }
  if (problem !== undefined) throw problem;
  for (const point of EXTENSION_POINTS) {
    for (const { type } of manifest.contributes[point] ?? []) {
      if (registered.has(`${point} "${type}"`)) continue;
      throw pluginError('HF_PLUGIN_REGISTER_MISSING', id, `declares ${point} "${type}" in its plugin.json, but does not register it`);
    }
  }
  return [...registered.values()];
}

function callRegister(plugin: Plugin, context: RegisterContext, id: string): void {
  let result: unknown;
  try {
    // The contract says void, but plug-ins come compiled, or written in JavaScript.
    const register: (context: RegisterContext) => unknown = plugin.register.bind(plugin);
    result = register(context);
  } catch (error) {
    if (error instanceof HoldfastError && error.code.startsWith('HF_PLUGIN_')) throw error;
    throw pluginError('HF_PLUGIN_REGISTER', id, `failed to register: ${messageOf(error)}`, error);
  }
  if (result instanceof Promise) {
    result.catch(() => undefined);
    throw pluginError(
      'HF_PLUGIN_REGISTER',
      id,
      'has an asynchronous register method; register must be pure and fast, I/O belongs in start',
    );
  }
}

/** The exported object, if it has the methods of the contract. @throws HoldfastError HF_PLUGIN_EXPORT */
export function exportedPlugin(module: unknown, id: string): Plugin {
  const names = typeof module === 'object' && module !== null ? Object.keys(module) : [];
  const candidate: unknown = names.includes('plugin') ? (module as { plugin: unknown }).plugin : undefined;
  if (candidate === undefined) {
    const found = names.length === 0 ? 'nothing' : names.join(', ');
    throw pluginError('HF_PLUGIN_EXPORT', id, `has no export named plugin; its module exports ${found}`);
  }
  if (!hasMethod(candidate, 'register')) throw pluginError('HF_PLUGIN_EXPORT', id, 'exports a plugin without the method register');
  for (const method of ['start', 'reconfigure', 'stop'] as const) {
    const member = (candidate as Readonly<Record<string, unknown>>)[method];
    if (member !== undefined && typeof member !== 'function') {
      throw pluginError('HF_PLUGIN_EXPORT', id, `exports a plugin whose ${method} is not a method`);
    }
  }
  return candidate as unknown as Plugin;
}

function hasMethod(candidate: unknown, method: string): boolean {
  if ((typeof candidate !== 'object' && typeof candidate !== 'function') || candidate === null) return false;
  return typeof (candidate as Readonly<Record<string, unknown>>)[method] === 'function';
}
