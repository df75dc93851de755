/**
 * Setuid and setgid of a file that is modified: who has no CAP_FSETID may not keep them. The backing file systems do not know the caller,
 * so it is decided here and done on both nodes as a change of the mode.
 */
import { readFileSync } from 'node:fs';
import type { ReplyTo, RequestBuffer } from '../fuse/device.js';
import { FATTR_MODE } from '../fuse/protocol.js';
import { S_IFDIR, S_IFMT, S_ISGID, S_ISUID, S_IXGRP } from '../system/constants.js';
import { AttributeModification, EPOCH } from './content.js';
import type { Node } from './node.js';

/**
 * An object's mode after the caller of a request has modified it. Setgid without execution by the group is kept for members of the group.
 * @param gid the object's group
 */
export function withoutPrivileges(mode: number, gid: number, caller: RequestBuffer): number {
  if ((mode & S_IFMT) === S_IFDIR) return mode;
  const keepsSetgid = (mode & S_ISGID) !== 0 && (mode & S_IXGRP) === 0 && isMember(caller, gid);
  return mode & ~(keepsSetgid ? S_ISUID : S_ISUID | S_ISGID);
}

/** A request tells the caller's group, not the others that it is in. */
function isMember(caller: RequestBuffer, gid: number): boolean {
  if (caller.gid === gid) return true;
  try {
    const groups = /^Groups:(.*)$/m.exec(readFileSync(`/proc/${caller.pid}/status`, 'latin1'))?.[1] ?? '';
    return groups.trim().split(/\s+/).includes(String(gid));
  } catch {
    // It has ended, or lives where this process cannot see it.
    return false;
  }
}

/** Clears setuid and setgid before somebody writes. Nobody waits for it: the answer is that of the write. */
export class PrivilegeModification extends AttributeModification {
  constructor(to: ReplyTo, node: Node, mode: number) {
    super(to, node, { valid: FATTR_MODE, mode, uid: 0, gid: 0, size: 0, atime: EPOCH, mtime: EPOCH });
  }

  override reply(): void {
    this.to.device.invalidateAttributes(this.node.nodeId);
  }

  override fail(): void {
    // The write that follows fails too, or finds out for itself.
  }
}
