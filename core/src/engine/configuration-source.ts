/** The folder in which operators edit a module. It changes only with a configuration from elsewhere; edits are never thrown away. */
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type FolderContent, readFolder } from './configuration-folder.js';
import { copyFolder, recoverFolder, replaceFolder } from './configuration-store.js';

/** Replaced sources with edits that were not applied. */
const ASIDE_MAX = 3;

export class ConfigurationSource {
  constructor(
    readonly folder: string,
    private readonly state: string,
  ) {}

  /** After a crash while it was replaced. */
  async recover(): Promise<void> {
    await recoverFolder(this.folder);
  }

  read(): Promise<FolderContent> {
    return readFolder(this.folder);
  }

  /** ISO time of the youngest file. */
  async changedAt(): Promise<string | undefined> {
    const names = await readdir(this.folder, { recursive: true }).catch(() => []);
    const times = await Promise.all(
      names.slice(0, 10_000).map((name) =>
        stat(join(this.folder, name)).then(
          (found) => found.mtimeMs,
          () => 0,
        ),
      ),
    );
    return times.length === 0 ? undefined : new Date(Math.max(...times)).toISOString();
  }

  /** Becomes what was applied. @returns where edits are that were not applied, if there were any */
  async follow(content: FolderContent, appliedBefore: string | undefined): Promise<string | undefined> {
    const signature = await this.read().then(
      (found) => found.signature,
      () => undefined,
    );
    if (signature === content.signature) return undefined;
    const isEdited = signature !== appliedBefore;
    const aside = isEdited ? await this.copyAside() : undefined;
    await replaceFolder(this.folder, content);
    return aside;
  }

  private async copyAside(): Promise<string> {
    const all = join(this.state, 'replaced');
    const numbers = (await readdir(all).catch(() => [])).map(Number).filter(Number.isInteger);
    const number = Math.max(0, ...numbers) + 1;
    await copyFolder(this.folder, join(all, String(number)));
    for (const old of numbers.filter((candidate) => candidate <= number - ASIDE_MAX)) {
      await rm(join(all, String(old)), { recursive: true, force: true });
    }
    return join(all, String(number));
  }
}
