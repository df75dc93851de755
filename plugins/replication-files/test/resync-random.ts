/** Random trees, and random things that applications do to them: reproducible from a seed. */
import type { Handle } from '../src/store/handle.js';
import { isDirectory, isRegular } from '../src/store/handle.js';
import type { Store } from '../src/store/store.js';
import { RENAME_EXCHANGE } from '../src/system/constants.js';
import type { Random } from './random.js';
import type { Application } from './resync-lab.js';

interface Named {
  readonly parent: Handle;
  readonly name: Buffer;
  readonly handle: Handle;
}

/** Everything below the roots. */
export function everything(store: Store): Named[] {
  const found: Named[] = [];
  const visit = (directory: Handle): void => {
    for (let next: bigint | undefined = 0n; next !== undefined; ) {
      const batch: ReturnType<Store['readDirectory']> = store.readDirectory(directory, next);
      if (typeof batch === 'number') return;
      next = batch.next;
      for (const { name } of batch.entries) {
        const handle = store.lookup(directory, name);
        if (typeof handle !== 'number') found.push({ parent: directory, name, handle });
      }
    }
  };
  for (const root of store.roots) visit(root);
  for (let i = 0; i < found.length; i += 1) {
    const { handle } = found[i] as Named;
    if (isDirectory(handle)) visit(handle);
  }
  return found;
}

/** Few names, so that they meet again; some with bytes that are no text. */
function someName(random: Random): Buffer {
  const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'a b', '\xff\xfe', '\n', 'é', '-rf', '.hidden', 'x'.repeat(255)];
  return Buffer.from(random.pick(names), 'latin1');
}

const XATTRS = ['trusted.a', 'trusted.b', 'security.odd \xff', 'trusted.overlay.opaque'];
const MODES = [0o100644, 0o100600, 0o104755, 0o040755, 0o042770, 0o120777, 0o010600, 0o140600];

/** One random modification. May do nothing when what it picked is not possible. */
export function modify(store: Store, app: Application, random: Random): void {
  const all = everything(store);
  const directories = [...store.roots, ...all.filter((item) => isDirectory(item.handle)).map((item) => item.handle)];
  const parent = random.pick(directories);
  const name = someName(random);
  const item = all.length > 0 ? random.pick(all) : undefined;
  const isFree = typeof store.lookup(parent, name) === 'number';
  switch (random.below(14)) {
    case 0:
    case 1:
    case 2:
      if (isFree && all.length < 150) {
        const mode = random.pick(MODES);
        const isLink = (mode & 0o170000) === 0o120000;
        const made = app.create(parent, name, mode, isLink ? Buffer.from(`to-${random.below(9)}`) : undefined);
        if (isRegular(made)) app.write(made, random.below(3) * 100_000, random.bytes(random.below(200_000)), parent, name);
      }
      return;
    case 3:
    case 4:
      if (item !== undefined && isRegular(item.handle)) {
        app.write(item.handle, random.below(400_000), random.bytes(1 + random.below(100_000)), item.parent, item.name);
      }
      return;
    case 5:
      if (item !== undefined && isRegular(item.handle)) app.truncate(item.handle, random.below(500_000), item.parent, item.name);
      return;
    case 6:
      if (item !== undefined && (isRegular(item.handle) || isDirectory(item.handle))) {
        app.attributes(
          item.handle,
          { mode: random.pick([0o755, 0o700, 0o2775]), uid: random.below(5), gid: random.below(5) },
          item.parent,
          item.name,
        );
      }
      return;
    case 7:
    case 8:
      if (item !== undefined) app.rename(item.parent, item.name, parent, name);
      return;
    case 9:
      if (item !== undefined) app.rename(item.parent, item.name, parent, name, RENAME_EXCHANGE);
      return;
    case 10:
      if (item !== undefined && !isDirectory(item.handle)) app.link(item.handle, item.parent, item.name, parent, name);
      return;
    case 11:
      // Values that travel inline, values that travel by digest.
      if (item !== undefined) {
        app.setXattr(item.handle, random.pick(XATTRS), random.bytes(random.pick([0, 5, 200, 1500])), item.parent, item.name);
      }
      return;
    case 12:
      if (item !== undefined) app.removeXattr(item.handle, random.pick(XATTRS), item.parent, item.name);
      return;
    default:
      if (item !== undefined) app.remove(item.parent, item.name, item.handle);
  }
}
