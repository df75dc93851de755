/**
 * Which extended attributes belong to an object and are replicated with it. Everything else a file system may show there (`btrfs.*`,
 * `system.*` but ACLs) is a matter of that file system, which the peer's may not know.
 */
import { XATTR_NAME_BYTES_MAX } from './limits.js';

const NAMESPACES = ['user.', 'trusted.', 'security.'];
const OWN_PREFIX = 'trusted.holdfast.';
/** ACLs once more, as XFS keeps them: to set or remove one changes the other. */
const ACL_ALIASES = ['trusted.SGI_ACL_FILE', 'trusted.SGI_ACL_DEFAULT'];
export const ACCESS_ACL = 'system.posix_acl_access';
export const DEFAULT_ACL = 'system.posix_acl_default';

/** Holdfast's own: hidden from applications and never taken from a peer. */
export function isOwnXattr(name: string): boolean {
  return name.startsWith(OWN_PREFIX);
}

/** @param name its bytes as latin1 */
export function isReplicatedXattr(name: string): boolean {
  if (name.length > XATTR_NAME_BYTES_MAX || isOwnXattr(name) || ACL_ALIASES.includes(name)) return false;
  return NAMESPACES.some((namespace) => name.startsWith(namespace)) || isAcl(name);
}

export function isAcl(name: string): boolean {
  return name === ACCESS_ACL || name === DEFAULT_ACL;
}
