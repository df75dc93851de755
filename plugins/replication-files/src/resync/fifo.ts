/** A queue whose removal at the front does not move what is behind: queues of a resync can have a hundred thousand entries. */
export class Fifo<T> {
  #items: T[] = [];
  #head = 0;

  get isEmpty(): boolean {
    return this.#head >= this.#items.length;
  }

  /** What `shift` would give; with `behind`, after so many more. */
  next(behind = 0): T | undefined {
    return this.#items[this.#head + behind];
  }

  push(item: T): void {
    this.#items.push(item);
  }

  shift(): T | undefined {
    const item = this.#items[this.#head];
    if (this.isEmpty) return undefined;
    this.#head += 1;
    if (this.#head > 1024 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }
}
