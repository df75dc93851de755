/**
 * Does this node fit the plug-in? Ranges must be bounded: a plug-in that accepts "*" today accepts a contract tomorrow that it has never
 * seen, and fails in the middle of a failover instead of at installation.
 */
import { type PluginManifest, SDK_VERSION } from '@holdfast/sdk';
import semver from 'semver';
import { type PluginErrorCode, pluginError } from './errors.js';

/** What a plug-in is compared with; the running node's by default. */
export interface HostEnvironment {
  readonly sdkVersion: string;
  readonly nodeVersion: string;
  readonly platform: string;
  readonly architecture: string;
}

export function currentEnvironment(): HostEnvironment {
  return { sdkVersion: SDK_VERSION, nodeVersion: process.versions.node, platform: process.platform, architecture: process.arch };
}

/** Any real range ends below this; one that does not is open. */
const BEYOND_ALL_VERSIONS = '<1000.0.0-0';

function isBounded(range: string): boolean {
  return semver.subset(range, BEYOND_ALL_VERSIONS);
}

/** A pre-release of the host is what plug-ins for that release are tested with, so 2.0.0-rc.1 counts as 2.0.0 too. */
function satisfies(version: string, range: string): boolean {
  const { major, minor, patch } = new semver.SemVer(version);
  return semver.satisfies(version, range, { includePrerelease: true }) || semver.satisfies(`${major}.${minor}.${patch}`, range);
}

/** @throws HoldfastError with the first thing that does not fit. */
export function checkCompatibility(manifest: PluginManifest, host: HostEnvironment): void {
  const { id, version, engines, platforms } = manifest;
  const refuse = (code: PluginErrorCode, message: string): never => {
    throw pluginError(code, id, message);
  };
  if (semver.valid(version) !== version) refuse('HF_PLUGIN_VERSION', `has the version "${version}", which is not like 1.4.2`);
  checkRange(id, 'sdk', engines.sdk, true);
  for (const [dependency, range] of Object.entries(manifest.dependencies ?? {})) checkRange(id, `plug-in ${dependency}`, range, true);
  if (!satisfies(host.sdkVersion, engines.sdk)) {
    const wanted = semver.minVersion(engines.sdk)?.version ?? engines.sdk;
    const ways = `install a release of ${id} for sdk ^${host.sdkVersion}, or a node with sdk ${wanted}`;
    refuse('HF_PLUGIN_SDK', `${version} wants sdk ${engines.sdk}, this node runs ${host.sdkVersion}; ${ways}`);
  }
  // The next major version at most: what comes after it cannot have been tested.
  const beyondNext = semver.major(host.sdkVersion) + 2;
  if (!semver.subset(engines.sdk, `<${beyondNext}.0.0-0`)) {
    refuse('HF_PLUGIN_RANGE', `accepts sdk ${engines.sdk}, which has no near upper end; write for example ^${host.sdkVersion}`);
  }
  if (engines.node !== undefined) {
    checkRange(id, 'node', engines.node, false);
    if (!satisfies(host.nodeVersion, engines.node)) {
      refuse('HF_PLUGIN_NODE', `${version} wants Node.js ${engines.node}, this node runs ${host.nodeVersion}`);
    }
  }
  const here = `${host.platform}-${host.architecture}`;
  if (platforms !== undefined && !platforms.includes(host.platform) && !platforms.includes(here)) {
    refuse('HF_PLUGIN_PLATFORM', `${version} runs on ${platforms.join(', ')}, this node is ${here}`);
  }
}

function checkRange(id: string, what: string, range: string, bounded: boolean): void {
  if (semver.validRange(range) === null) {
    throw pluginError('HF_PLUGIN_RANGE', id, `has "${range}" as its range for ${what}, which is not like ^1.2.0`);
  }
  if (!bounded || isBounded(range)) return;
  throw pluginError('HF_PLUGIN_RANGE', id, `has the open range "${range}" for ${what}; it must have an upper end, for example ^1.2.0`);
}
