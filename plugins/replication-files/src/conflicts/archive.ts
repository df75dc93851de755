/** What is kept of conflicts, as the agent shows it: read from the disk whenever it is asked for, because nobody asks often. */
import { rename, rm } from 'node:fs/promises';
import { isAbsolute, join, normalize, sep } from 'node:path';
import {
  HoldfastError,
  messageOf,
  type ConflictEvent,
  type ConflictExtraction,
  type ConflictObject,
  type ConflictStore,
  type ConflictSummary,
} from '@holdfast/sdk';
import { Extraction } from './extraction.js';
import { CONFLICTS, eventFolder, isEventId, readEvents, readIndex, type KeptObject } from './format.js';

export class ConflictArchive implements ConflictStore {
  readonly #stateDirectory: string;
  readonly #directories: readonly string[];
  readonly #changed: () => void;
  readonly #extractions = new Map<string, ConflictExtraction>();
  #events: readonly ConflictEvent[] = [];

  /** @param directories the replicated ones: nothing is extracted into them @param changed the events are others than before */
  constructor(stateDirectory: string, directories: readonly string[], changed: () => void) {
    this.#stateDirectory = stateDirectory;
    this.#directories = directories;
    this.#changed = changed;
    this.#events = readEvents(stateDirectory);
  }

  /** As last looked at. */
  get events(): readonly ConflictEvent[] {
    return this.#events;
  }

  /** Looks again: a resync may have begun or ended one. */
  look(): void {
    const events = readEvents(this.#stateDirectory);
    if (JSON.stringify(events) === JSON.stringify(this.#events)) return;
    this.#events = events;
    this.#changed();
  }

  async list(): Promise<readonly ConflictSummary[]> {
    return readEvents(this.#stateDirectory).map((event) => {
      const folder = eventFolder(this.#stateDirectory, event.id);
      const { objects } = readIndex(folder);
      const bytes = objects.reduce((sum, { size, digest }) => sum + (digest === undefined ? 0 : size), 0);
      const extraction = this.#extractions.get(event.id);
      return { ...event, objects: objects.length, bytes, folder, ...(extraction === undefined ? {} : { extraction }) };
    });
  }

  async objects(id: string, { after = 0, limit }: { readonly after?: number; readonly limit: number }): Promise<readonly ConflictObject[]> {
    const { objects } = readIndex(this.#known(id).folder);
    const pathOf = new Map(objects.map(({ number, path }) => [number, path]));
    const shown = objects.filter(({ number }) => number > after).slice(0, limit);
    return shown.map((object) => viewOf(object, pathOf));
  }

  async extract(id: string, { paths, to }: { readonly paths: readonly string[]; readonly to: string }): Promise<void> {
    const { event, folder } = this.#known(id);
    if (event.endedAt === undefined) throw busy(id, 'is not complete: the resync that overwrites has not finished');
    if (this.#extractions.get(id)?.state === 'running') throw busy(id, 'is being extracted already');
    const target = this.#targetOf(to);
    const { objects } = readIndex(folder);
    const chosen = paths.length === 0 ? objects : objects.filter(({ path }) => paths.some((wanted) => isAtOrBelow(path, wanted)));
    if (chosen.length === 0) {
      throw new HoldfastError('HF_CONFLICT_PATH', `${id} has nothing under ${paths.join(', ')}; "holdfast conflicts show ${id}" lists it`, {
        paths,
      });
    }
    const extraction = new Extraction(folder, objects, target);
    const note = (state: ConflictExtraction['state'], failure?: ConflictExtraction['failure']): void => {
      const { objects: done, bytes } = extraction;
      this.#extractions.set(id, { to: target, state, objects: done, bytes, ...(failure === undefined ? {} : { failure }) });
    };
    note('running');
    extraction
      .run(chosen, () => {
        note('running');
      })
      .then(
        () => {
          note('done');
        },
        (error: unknown) => {
          const code = error instanceof HoldfastError ? error.code : 'HF_CONFLICT_EXTRACT';
          note('failed', { code, message: messageOf(error).replace(`${code}: `, '') });
        },
      );
  }

  async delete(id: string): Promise<void> {
    const { event, folder } = this.#known(id);
    if (event.endedAt === undefined) throw busy(id, 'cannot be deleted: the resync that overwrites has not finished');
    if (this.#extractions.get(id)?.state === 'running') throw busy(id, 'is being extracted');
    // In one step for those who look; what is left of an interrupted removal has no name of an event.
    const trash = join(this.#stateDirectory, CONFLICTS, `deleted-${id}`);
    await rename(folder, trash);
    this.#extractions.delete(id);
    this.look();
    await rm(trash, { recursive: true, force: true });
  }

  #known(id: string): { readonly event: ConflictEvent; readonly folder: string } {
    const events = readEvents(this.#stateDirectory);
    const event = isEventId(id) ? events.find((candidate) => candidate.id === id) : undefined;
    if (event !== undefined) return { event, folder: eventFolder(this.#stateDirectory, id) };
    const known = events.map((candidate) => candidate.id).join(', ') || 'none';
    throw new HoldfastError('HF_CONFLICT_UNKNOWN', `no conflict "${id}" is kept on this node; there is ${known}`, { id });
  }

  #targetOf(to: string): string {
    if (!isAbsolute(to)) throw new HoldfastError('HF_CONFLICT_TARGET', `"${to}" is no absolute path on the node`, { to });
    const target = normalize(to).replace(/\/+$/, '') || '/';
    const inside = this.#directories.find((directory) => isAtOrBelow(target, directory));
    if (inside === undefined) return target;
    throw new HoldfastError(
      'HF_CONFLICT_TARGET',
      `${to} is in the replicated ${inside}: extract elsewhere, look at it, and copy what you need`,
      {
        to,
      },
    );
  }
}

function busy(id: string, why: string): HoldfastError {
  return new HoldfastError('HF_CONFLICT_BUSY', `${id} ${why}`, { id });
}

function isAtOrBelow(path: string, ancestor: string): boolean {
  const top = ancestor.replace(/\/+$/, '');
  return path === top || path.startsWith(top + sep);
}

function viewOf(object: KeptObject, pathOf: ReadonlyMap<number, string>): ConflictObject {
  const { number, path, kind, cause, mode, uid, gid, size, digest, linkTo, mtimeNs } = object;
  const target = linkTo === undefined ? undefined : pathOf.get(linkTo);
  return {
    number,
    path,
    kind,
    cause,
    mode,
    uid,
    gid,
    modifiedAt: new Date(Number(BigInt(mtimeNs) / 1_000_000n)).toISOString(),
    size,
    ...(digest === undefined ? {} : { digest }),
    ...(target === undefined ? {} : { linkTo: target }),
  };
}
