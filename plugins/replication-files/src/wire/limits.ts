/** Bounds and reserved values of the replication protocol. Every decoder refuses what exceeds them. */

export const PROTOCOL_VERSION = 4;

/** Data of one write or copied range: the FUSE limit for one request. */
export const DATA_BYTES_MAX = 1 << 20;
/** Clear text of one record: one full write, or a batch of smaller messages. */
export const RECORD_BYTES_MAX = DATA_BYTES_MAX + (64 << 10);
export const NAME_BYTES_MAX = 255;
export const SYMLINK_BYTES_MAX = 4095;
/** Extended attributes: what Linux allows. */
export const XATTR_NAME_BYTES_MAX = 255;
export const XATTR_VALUE_BYTES_MAX = 64 << 10;
export const XATTR_LIST_BYTES_MAX = 64 << 10;
/** Of one object: no name is shorter than `user.x` and its end. */
export const XATTRS_MAX = Math.floor(XATTR_LIST_BYTES_MAX / 7);
/** Values that travel with the other attributes of an object; what is more is named by digest, and sent when it differs. */
export const XATTR_INLINE_BYTES_MAX = 16 << 10;
/** Entries of one CLEAR or PLACE message. */
export const ENTRIES_MAX = 1024;
/** Objects of one SMALL message, and content of one of them. */
export const SMALL_OBJECTS_MAX = 1024;
export const SMALL_BYTES_MAX = 64 << 10;
/** Stamps of one TIMES message. */
export const STAMPS_MAX = 4096;
/** Sentence of a FAILED message. */
export const REASON_BYTES_MAX = 1024;
/** Content is compared and journalled in granules of this size. */
export const GRANULE_BYTES = 64 << 10;
/** Bytes compared by one DIGEST message. */
export const DIGEST_SPAN_BYTES_MAX = 4 << 20;
export const DIGEST_BYTES = 16;

/** Objects of one LISTING, names of one VERIFY-NAMES. */
export const LISTED_MAX = 256;
/** Granules of one CONTENTS. */
export const CONTENTS_GRANULES_MAX = 16;
/** Text of one VERIFY-RESULT. */
export const RESULT_BYTES_MAX = 256 << 10;

/** Ids 1..255 are the roots of the replicated directories, in the order of the configuration. */
export const ROOT_OBJECT_MAX = 255n;
/** Directory in each root that belongs to Holdfast: hidden, never replicated. */
export const RESERVED_NAME = '.holdfast';

/** True for the id of a replicated directory itself. */
export function isRootObject(object: bigint): boolean {
  return object >= 1n && object <= ROOT_OBJECT_MAX;
}
