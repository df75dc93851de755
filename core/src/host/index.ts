/** Plug-ins: found by manifest, verified without running code, run within limits. */
export { PLUGIN_ERRORS, type PluginErrorCode } from './errors.js';
export { contributedElements, discoverPlugins, type DiscoveredPlugin, type RefusedPlugin, type VerifiedPlugin } from './discovery.js';
export { PluginHost, type PluginDescription, type PluginHostOptions, type PluginState } from './plugin-host.js';
