/** Start order of plug-ins: dependencies first, otherwise in the order given. Pure. */
import type { HoldfastError, PluginManifest } from '@holdfast/sdk';
import semver from 'semver';
import { pluginError } from './errors.js';

interface Dependent {
  readonly id: string;
  readonly version: string;
  readonly manifest: PluginManifest;
}

export interface DependencyOrder<P extends Dependent> {
  readonly order: readonly P[];
  readonly refused: readonly { readonly plugin: P; readonly error: HoldfastError }[];
}

export function dependenciesOf(plugin: Dependent): readonly string[] {
  return Object.keys(plugin.manifest.dependencies ?? {});
}

/** Ids are unique. A plug-in whose dependency is missing, unfit or refused is refused too; so is every member of a circle. */
export function orderByDependencies<P extends Dependent>(plugins: readonly P[]): DependencyOrder<P> {
  const candidates = new Map(plugins.map((plugin) => [plugin.id, plugin]));
  const refused: { plugin: P; error: HoldfastError }[] = [];
  const refuse = (plugin: P, error: HoldfastError): void => {
    candidates.delete(plugin.id);
    refused.push({ plugin, error });
  };
  const refuseUnmet = (): void => {
    for (let before = -1; before !== refused.length; ) {
      before = refused.length;
      for (const plugin of [...candidates.values()]) {
        const problem = unmet(plugin, candidates, plugins);
        if (problem !== undefined) refuse(plugin, pluginError('HF_PLUGIN_DEPENDENCY', plugin.id, problem));
      }
    }
  };
  refuseUnmet();
  for (const plugin of [...candidates.values()]) {
    const circle = circleThrough(plugin, candidates);
    if (circle === undefined) continue;
    for (const id of circle) {
      const member = candidates.get(id);
      const path = [...circle, circle[0]].join(' needs ');
      if (member !== undefined) refuse(member, pluginError('HF_PLUGIN_DEPENDENCY_CYCLE', id, `is part of a circle: ${path}`));
    }
  }
  refuseUnmet();
  return { order: topological(candidates), refused };
}

function unmet(plugin: Dependent, candidates: ReadonlyMap<string, Dependent>, all: readonly Dependent[]): string | undefined {
  for (const [id, range] of Object.entries(plugin.manifest.dependencies ?? {})) {
    const dependency = candidates.get(id);
    if (dependency === undefined) {
      const known = all.some((other) => other.id === id);
      return `needs plug-in ${id} ${range}, which ${known ? 'is refused' : 'is not installed or was refused'}`;
    }
    if (!semver.satisfies(dependency.version, range)) return `needs plug-in ${id} ${range}, but ${dependency.version} is installed`;
  }
  return undefined;
}

/** A shortest way from a plug-in back to itself. */
function circleThrough(start: Dependent, candidates: ReadonlyMap<string, Dependent>): readonly string[] | undefined {
  const paths: string[][] = [[start.id]];
  const seen = new Set<string>();
  for (const path of paths) {
    const last = candidates.get(path.at(-1) ?? '');
    for (const next of last === undefined ? [] : dependenciesOf(last)) {
      if (next === start.id) return path;
      if (seen.has(next)) continue;
      seen.add(next);
      paths.push([...path, next]);
    }
  }
  return undefined;
}

function topological<P extends Dependent>(candidates: ReadonlyMap<string, P>): readonly P[] {
  const order = new Map<string, P>();
  const visit = (plugin: P): void => {
    if (order.has(plugin.id)) return;
    for (const id of dependenciesOf(plugin)) {
      const dependency = candidates.get(id);
      if (dependency !== undefined) visit(dependency);
    }
    order.set(plugin.id, plugin);
  };
  for (const plugin of candidates.values()) visit(plugin);
  return [...order.values()];
}
