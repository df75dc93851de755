/** What a lab needs from the host, checked before anything is built. */
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { HoldfastError } from '@holdfast/sdk';

/** Program and the Debian package that has it. */
const TOOLS: Readonly<Record<string, string>> = {
  unshare: 'util-linux',
  nsenter: 'util-linux',
  setpriv: 'util-linux',
  mount: 'mount',
  ip: 'iproute2',
  'mkfs.ext4': 'e2fsprogs',
  perl: 'perl-base',
};

/** Only needed for faults on the network. */
const FAULT_TOOLS: Readonly<Record<string, string>> = { nft: 'nftables' };

const FOLDERS = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

/** @throws HF_LAB_ROOT, HF_LAB_TOOL naming the packages to install */
export function requireTools(): void {
  if (process.getuid?.() !== 0) throw new HoldfastError('HF_LAB_ROOT', 'a lab makes namespaces and mounts; run it as root');
  demand(TOOLS);
}

/** @throws HF_LAB_TOOL naming the packages to install */
export function requireFaultTools(): void {
  demand(FAULT_TOOLS);
}

/** Debian packages with tools of a lab that this machine lacks. */
export function missingPackages(): readonly string[] {
  return packagesOf(TOOLS, missingOf(TOOLS));
}

function missingOf(tools: Readonly<Record<string, string>>): string[] {
  return Object.keys(tools).filter((tool) => !FOLDERS.some((folder) => isExecutable(join(folder, tool))));
}

function packagesOf(tools: Readonly<Record<string, string>>, missing: readonly string[]): string[] {
  return [...new Set(missing.map((tool) => tools[tool] as string))];
}

function demand(tools: Readonly<Record<string, string>>): void {
  const missing = missingOf(tools);
  if (missing.length === 0) return;
  const packages = packagesOf(tools, missing);
  throw new HoldfastError('HF_LAB_TOOL', `not found: ${missing.join(', ')}; apt-get install ${packages.join(' ')}`, { missing, packages });
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
