/** The plug-ins that come with the product: the folder beside this package in its tree. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export function productPlugins(): readonly string[] {
  const folder = fileURLToPath(new URL('../../../plugins', import.meta.url));
  return existsSync(folder) ? [folder] : [];
}
