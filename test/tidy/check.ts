/** All rules over all files: the findings, ordered by place. */
import { defaultExports } from './rules/exports.js';
import { layers } from './rules/layers.js';
import { emptyNames, rootEntries } from './rules/names.js';
import { packageDependencies, pluginShape } from './rules/packages.js';
import { purity } from './rules/purity.js';
import { fileLength, lineLength } from './rules/size.js';
import {
  errorCodes,
  forcedExit,
  machinePaths,
  registryAddresses,
  silentExceptions,
  switchedOffTests,
  unfinishedWork,
} from './rules/words.js';
import type { FileRule, Finding, SourceFile, TreeRule } from './source.js';

const FILE_RULES: readonly FileRule[] = [
  defaultExports,
  emptyNames,
  errorCodes,
  fileLength,
  forcedExit,
  layers,
  lineLength,
  machinePaths,
  packageDependencies,
  purity,
  registryAddresses,
  silentExceptions,
  switchedOffTests,
  unfinishedWork,
];

const TREE_RULES: readonly TreeRule[] = [pluginShape, rootEntries];

export function checkTree(files: readonly SourceFile[]): Finding[] {
  const findings = [...files.flatMap((file) => FILE_RULES.flatMap((rule) => rule(file))), ...TREE_RULES.flatMap((rule) => rule(files))];
  return findings.sort((a, b) => (a.path === b.path ? a.line - b.line : a.path < b.path ? -1 : 1));
}
