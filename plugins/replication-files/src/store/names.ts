/** Names as the store takes them: one component of a path, and in the form that system calls want. */
import { NAME_BYTES_MAX } from '../system/constants.js';
import { EINVAL, ENAMETOOLONG } from '../system/errno.js';

const SLASH = 0x2f;
const DOT = 0x2e;

/**
 * A slash would lead out of the tree, whatever directory it is asked of. The kernel and the decoder of messages let no such name through;
 * here it ends in any case.
 * @returns 0 or -errno
 */
export function refusedName(name: Uint8Array): number {
  if (name.length > NAME_BYTES_MAX) return -ENAMETOOLONG;
  return name.length === 0 || name.includes(SLASH) || name.includes(0) || isDots(name) ? -EINVAL : 0;
}

function isDots(name: Uint8Array): boolean {
  return name[0] === DOT && (name.length === 1 || (name.length === 2 && name[1] === DOT));
}

/** `name` with a NUL behind it: in `scratch`, until that is used again. */
export function terminate(scratch: Buffer, name: Uint8Array): Buffer {
  if (name.length >= scratch.length) throw new Error(`a name of ${name.length} bytes reached the store unchecked`);
  scratch.set(name);
  scratch[name.length] = 0;
  return scratch;
}
