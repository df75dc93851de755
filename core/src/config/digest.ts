/**
 * What both nodes compare before a module starts. Comments, blanks and the order of attributes do not count; everything that changes
 * behaviour does, after macros, so that two nodes with different environments are found out.
 */
import { createHash } from 'node:crypto';
import type { XmlElement } from './xml.js';

type Canonical = readonly [name: string, attributes: readonly (readonly [string, string])[], children: readonly Canonical[]];

function canonical(element: XmlElement): Canonical {
  const attributes = [...element.attributes.values()].map(({ name, value }) => [name, value] as const);
  attributes.sort(([a], [b]) => (a < b ? -1 : 1));
  return [element.name, attributes, element.children.map(canonical)];
}

/** SHA-256, hexadecimal. `extra` is whatever else belongs to it: the module's id, a digest of its scripts. */
export function configurationDigest(expanded: XmlElement, extra: readonly (string | number)[] = []): string {
  return createHash('sha256')
    .update(JSON.stringify([canonical(expanded), extra]))
    .digest('hex');
}
