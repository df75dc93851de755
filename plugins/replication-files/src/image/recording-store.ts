/**
 * The trees of a node, with the one place that every change of theirs goes through: what a resync is about to change is preserved first
 * (see recorder.ts). Outside of a resync a change costs one look at a flag more.
 *
 * And what fails for lack of room is tried again as long as room can be made: what was removed may still have its blocks for a moment, and
 * whoever removed it counts on them.
 */
import type { Handle } from '../store/handle.js';
import { Store, type AttributeChange, type NewObject } from '../store/store.js';
import { isFull } from '../system/errno.js';
import { ImageRecorder } from './recorder.js';

export class RecordingStore extends Store {
  readonly image: ImageRecorder;
  /** Asked in turn when the disk is full. Each gives something up and returns true, or false when it has nothing more. */
  readonly roomMakers: (() => boolean)[] = [];
  #isMakingRoom = false;

  /** @param paths as of a store @param stateDirectory where the image is written down @param log told why an image was given up */
  constructor(paths: readonly string[], stateDirectory: string, log: (message: string) => void) {
    super(paths);
    this.image = new ImageRecorder(this, stateDirectory, log);
    this.xattrs.beforeChange = (handle) => {
      this.image.beforeAttributes(handle);
      this.image.commit();
    };
    this.xattrs.canRepeat = (outcome) => this.#canRepeat(outcome);
  }

  #canRepeat(outcome: unknown): boolean {
    if (typeof outcome !== 'number' || !isFull(outcome) || this.#isMakingRoom) return false;
    this.#isMakingRoom = true;
    try {
      return this.roomMakers.some((makeRoom) => makeRoom());
    } finally {
      this.#isMakingRoom = false;
    }
  }

  #withRoom<T>(step: () => T): T {
    for (;;) {
      const outcome = step();
      if (!this.#canRepeat(outcome)) return outcome;
    }
  }

  override writeId(handle: Handle, id: bigint): number {
    this.image.beforeAttributes(handle);
    this.image.commit();
    return this.#withRoom(() => super.writeId(handle, id));
  }

  override setAttributes(handle: Handle, change: AttributeChange): number {
    if (change.size !== undefined) this.image.beforeContent(handle);
    else if (Object.values(change).some((value) => value !== undefined)) this.image.beforeAttributes(handle);
    this.image.commit();
    return this.#withRoom(() => super.setAttributes(handle, change));
  }

  override write(handle: Handle, offset: number, data: Uint8Array): number {
    this.image.beforeContent(handle);
    this.image.commit();
    // As `#withRoom`, without a function of its own for each write.
    let outcome = super.write(handle, offset, data);
    while (outcome < 0 && this.#canRepeat(outcome)) outcome = super.write(handle, offset, data);
    return outcome;
  }

  override fallocate(handle: Handle, mode: number, offset: number, length: number): number {
    this.image.beforeContent(handle);
    this.image.commit();
    return this.#withRoom(() => super.fallocate(handle, mode, offset, length));
  }

  override create(parent: Handle, name: Uint8Array, object: NewObject): Handle | number {
    this.image.beforeName(parent, name);
    this.image.commit();
    const made = this.#withRoom(() => super.create(parent, name, object));
    if (typeof made !== 'number') this.image.made(parent, made);
    return made;
  }

  override createUnnamed(parent: Handle, object: NewObject): Handle | number {
    return this.#withRoom(() => super.createUnnamed(parent, object));
  }

  override link(object: Handle, parent: Handle, name: Uint8Array): number {
    this.image.beforeName(parent, name);
    this.image.commit();
    return this.#withRoom(() => super.link(object, parent, name));
  }

  override unlink(parent: Handle, name: Uint8Array): number {
    this.image.beforeRemoval(parent, name);
    this.image.commit();
    return super.unlink(parent, name);
  }

  override rmdir(parent: Handle, name: Uint8Array): number {
    this.image.beforeRemoval(parent, name);
    this.image.commit();
    return super.rmdir(parent, name);
  }

  override rename(parent: Handle, name: Uint8Array, newParent: Handle, newName: Uint8Array, flags: number): number {
    this.image.beforeName(parent, name);
    this.image.beforeName(newParent, newName);
    this.image.commit();
    return this.#withRoom(() => super.rename(parent, name, newParent, newName, flags));
  }
}
