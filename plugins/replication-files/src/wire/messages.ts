/**
 * Messages of the data connection. The primary sends requests, each with a sequence number; the secondary gives exactly one answer for
 * each request, with the same number: ACK, or STATUSES, DIGESTS, LISTING and CONTENTS where the request asks for them. PING, PONG and
 * FAILED stand alone (sequence number 0).
 *
 * Objects are named by 64-bit ids that both nodes keep with the object, new names by (parent id, name): never by path, because a path
 * races with the rename of an ancestor.
 */

export interface TimeSpec {
  readonly seconds: number;
  /** 0..999999999. */
  readonly nanoseconds: number;
}

/** Which fields of a SETATTR are meant; the bits are those of FUSE. */
export const VALID = { mode: 1, uid: 2, gid: 4, size: 8, atime: 16, mtime: 32 } as const;

/** Everything about an object but its content. `mode` carries the type. */
export interface NewObject {
  readonly object: bigint;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdev: number;
  /** Target of a symbolic link, empty otherwise. */
  readonly target: Buffer;
}

export interface Stamp {
  readonly object: bigint;
  readonly atime: TimeSpec;
  readonly mtime: TimeSpec;
}

/** An extended attribute: its name as latin1, and its value, or the digest of a value that is too long to travel with the others. */
export type Xattr = { readonly name: string; readonly value: Buffer } | { readonly name: string; readonly digest: Buffer };

/** What can change of an object, but its content. */
export interface Attributes {
  readonly object: bigint;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Of a regular file; 0 otherwise. */
  readonly size: number;
  readonly atime: TimeSpec;
  readonly mtime: TimeSpec;
  /** All that it has. */
  readonly xattrs: readonly Xattr[];
}

/** All of a small object: the content of a file, or its digest when the target may have it. No content: `data` is empty. */
export type SmallObject = Attributes & ({ readonly data: Buffer } | { readonly digest: Buffer });

/** What the source has under one name; undefined `what`: nothing. */
export interface Entry {
  readonly name: Buffer;
  readonly what?: NewObject;
}

interface Sequenced {
  readonly seq: number;
}

/** Modifications and their frame, in the order in which the application made them. */
export type LiveRequest = Sequenced &
  (
    | { readonly kind: 'introduce'; readonly object: bigint; readonly parent: bigint; readonly name: Buffer }
    | ({ readonly kind: 'create'; readonly parent: bigint; readonly name: Buffer } & NewObject)
    | { readonly kind: 'link'; readonly object: bigint; readonly parent: bigint; readonly name: Buffer }
    | { readonly kind: 'unlink'; readonly parent: bigint; readonly name: Buffer }
    | { readonly kind: 'rmdir'; readonly parent: bigint; readonly name: Buffer }
    | {
        readonly kind: 'rename';
        readonly parent: bigint;
        readonly name: Buffer;
        readonly newParent: bigint;
        readonly newName: Buffer;
        /** RENAME_NOREPLACE 1, RENAME_EXCHANGE 2. */
        readonly flags: number;
      }
    | {
        readonly kind: 'setattr';
        readonly object: bigint;
        /** Bits of VALID. */
        readonly valid: number;
        readonly mode: number;
        readonly uid: number;
        readonly gid: number;
        readonly size: number;
        readonly atime: TimeSpec;
        readonly mtime: TimeSpec;
      }
    /** Makes an object that has no name yet: it gets content and attributes as any other, and its name by ADOPT. `root`: its directory. */
    | ({ readonly kind: 'stage'; readonly root: number } & NewObject)
    /** Gives a staged object its name, in the place of whatever has it. */
    | {
        readonly kind: 'adopt';
        readonly object: bigint;
        readonly parent: bigint;
        readonly name: Buffer;
        /** RENAME_NOREPLACE 1. */
        readonly flags: number;
      }
    | { readonly kind: 'write'; readonly object: bigint; readonly offset: number; readonly data: Buffer }
    | { readonly kind: 'fallocate'; readonly object: bigint; readonly mode: number; readonly offset: number; readonly length: number }
    | { readonly kind: 'fsync'; readonly object: bigint; readonly datasync: boolean }
    /** `begin` cuts the recent set and asks for syncfs (the answer means durable); `done` forgets the set before the cut. */
    | { readonly kind: 'checkpoint'; readonly phase: 'begin' | 'done' }
    /** A regular file without a name, as O_TMPFILE makes it in `parent`. LINK gives it one; FORGET, or the end of the session, ends it. */
    | ({ readonly kind: 'create-unnamed'; readonly parent: bigint } & NewObject)
    | { readonly kind: 'forget'; readonly object: bigint }
    | {
        readonly kind: 'setxattr';
        readonly object: bigint;
        readonly name: string;
        readonly value: Buffer;
        /** XATTR_CREATE 1, XATTR_REPLACE 2. */
        readonly flags: number;
        /** A new ACL clears setgid too. */
        readonly clearsSetgid: boolean;
      }
    | { readonly kind: 'removexattr'; readonly object: bigint; readonly name: string }
    /** RENAME that leaves a whiteout with this id and owner under the old name. */
    | {
        readonly kind: 'whiteout';
        readonly parent: bigint;
        readonly name: Buffer;
        readonly newParent: bigint;
        readonly newName: Buffer;
        /** RENAME_NOREPLACE 1. */
        readonly flags: number;
        readonly object: bigint;
        readonly uid: number;
        readonly gid: number;
      }
    /** Times of objects that were modified: applied as they are, so that times are identical too. */
    | { readonly kind: 'times'; readonly stamps: readonly Stamp[] }
  );

/** Requests of the resync engine; the description of the exchange is in resync/source.ts. */
export type ResyncRequest = Sequenced &
  (
    | { readonly kind: 'resync-begin'; readonly mode: 'journal' | 'compare' }
    /** Where an object is: the target binds the id when it finds the same object there. */
    | { readonly kind: 'bind'; readonly object: bigint; readonly parent: bigint; readonly name: Buffer }
    /**
     * What the source has under names of a directory: everything else under them goes to the stash. `complete`: the directory has been
     * listed from its beginning (`first`) to its end (`last`), other names are superfluous.
     */
    | {
        readonly kind: 'clear';
        readonly directory: bigint;
        readonly complete: boolean;
        readonly first: boolean;
        readonly last: boolean;
        readonly entries: readonly Entry[];
      }
    /** Makes the names what the source has: from the stash, by a further link, or new and empty. */
    | { readonly kind: 'place'; readonly directory: bigint; readonly entries: readonly Entry[] }
    | { readonly kind: 'data'; readonly object: bigint; readonly offset: number; readonly data: Buffer }
    | { readonly kind: 'hole'; readonly object: bigint; readonly offset: number; readonly length: number }
    | { readonly kind: 'digest'; readonly object: bigint; readonly offset: number; readonly length: number }
    /** The answer ENODATA asks for the extended attributes that are given by digest: XATTR for each, and ATTRIBUTES again. */
    | ({ readonly kind: 'attributes' } & Attributes)
    /** Content and attributes of objects that are in their places. */
    | { readonly kind: 'small'; readonly objects: readonly SmallObject[] }
    | { readonly kind: 'xattr'; readonly object: bigint; readonly name: string; readonly value: Buffer }
    | { readonly kind: 'resync-sync' }
    | { readonly kind: 'resync-finish' }
  );

/** Where an object is that a verification asks for: by id, or (id 0) under a name of a directory that was entered before. */
export interface Subject {
  readonly object: bigint;
  readonly slot: number;
  readonly name: Buffer;
}

/** Questions of a verification, which change nothing; the exchange is described in verify/verification.ts. */
export type VerifyRequest = Sequenced &
  (
    | ({ readonly kind: 'verify-enter' /** The number under which the directory is known from now on. */; readonly as: number } & Subject)
    /** The objects of an entered directory from a position on: LISTING. */
    | { readonly kind: 'verify-list'; readonly slot: number; readonly cursor: bigint }
    /** Which of these names an entered directory has: STATUSES. */
    | { readonly kind: 'verify-names'; readonly slot: number; readonly names: readonly Buffer[] }
    /** One object: LISTING. */
    | { readonly kind: 'verify-object'; readonly object: bigint }
    /** Digests of the first granules with content from an offset on: CONTENTS. */
    | ({ readonly kind: 'verify-content'; readonly offset: number } & Subject)
    /** For both nodes to remember: JSON. */
    | { readonly kind: 'verify-result'; readonly text: string }
  );

/** Everything about an object that must be the same on both nodes, but its content. */
export interface Observed {
  /** 0: it has no id yet. */
  readonly object: bigint;
  /** 0: it cannot be read. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdev: number;
  /** Of a regular file; 0 otherwise. */
  readonly size: number;
  readonly mtime: TimeSpec;
  /** Local to the node: tells which names are links of one object. */
  readonly ino: bigint;
  readonly nlink: number;
  readonly target: Buffer;
  /** Digest of all extended attributes but our own; empty: there are none. */
  readonly attributes: Buffer;
}

export interface Listed extends Observed {
  readonly name: Buffer;
}

/** What the target has made of one entry of CLEAR or PLACE, or of one object of SMALL. */
export const STATUS = {
  /** The same object is there; it is the same now (SMALL). */
  same: 0,
  /** Nothing is there now (CLEAR). */
  missing: 1,
  /** The object existed elsewhere and is there now (PLACE). */
  moved: 2,
  /** New and empty (PLACE). */
  created: 3,
  /** Not possible at this moment, for instance below itself: to be tried again in the next round (PLACE). */
  later: 4,
  /** Something that was given by digest is another here (SMALL). */
  different: 5,
} as const;

export type Status = (typeof STATUS)[keyof typeof STATUS];

export type Answer =
  | { readonly kind: 'ack'; readonly seq: number /** 0, or a positive errno. */; readonly errno: number }
  | {
      readonly kind: 'statuses';
      readonly seq: number /** ENOENT: the directory is not known. */;
      readonly errno: number;
      readonly statuses: Buffer;
    }
  | {
      readonly kind: 'digests';
      readonly seq: number;
      readonly errno: number;
      /** Size of the target's file. */
      readonly size: number;
      /** One digest of DIGEST_BYTES for each granule; all zero: the granule is a hole or beyond the end. */
      readonly digests: Buffer;
    }
  | {
      readonly kind: 'listing';
      readonly seq: number;
      readonly errno: number;
      /** Where the list goes on; undefined at its end. */
      readonly next: bigint | undefined;
      readonly objects: readonly Listed[];
    }
  | {
      readonly kind: 'contents';
      readonly seq: number;
      readonly errno: number;
      readonly size: number;
      /** Everything between the offset that was asked for and this one is zero. A multiple of the granule. */
      readonly start: number;
      /** One digest for each granule from `start` on; all zero: the granule is zero, whether stored or a hole. */
      readonly digests: Buffer;
    };

export type Lone =
  | { readonly kind: 'ping'; readonly seq: 0 }
  | { readonly kind: 'pong'; readonly seq: 0 }
  | { readonly kind: 'failed'; readonly seq: 0; readonly code: string; readonly message: string };

export type Request = LiveRequest | ResyncRequest | VerifyRequest;
export type Message = Request | Answer | Lone;

/** Message type numbers on the wire. Never reused. */
export const TYPE = {
  ping: 1,
  pong: 2,
  ack: 3,
  failed: 4,
  introduce: 10,
  create: 11,
  link: 12,
  unlink: 13,
  rmdir: 14,
  rename: 15,
  setattr: 16,
  write: 17,
  fallocate: 18,
  fsync: 19,
  checkpoint: 20,
  times: 21,
  'create-unnamed': 22,
  forget: 23,
  setxattr: 24,
  removexattr: 25,
  whiteout: 26,
  xattr: 27,
  stage: 28,
  adopt: 29,
  'resync-begin': 30,
  bind: 31,
  clear: 32,
  place: 33,
  data: 34,
  hole: 35,
  digest: 36,
  attributes: 37,
  'resync-sync': 38,
  'resync-finish': 39,
  statuses: 40,
  digests: 41,
  'verify-enter': 42,
  'verify-list': 43,
  'verify-names': 44,
  'verify-object': 45,
  'verify-content': 46,
  'verify-result': 47,
  listing: 48,
  contents: 49,
  small: 56,
} as const satisfies Record<Message['kind'], number>;

/** u32 length of the whole message, u8 type, three zero bytes, u64 sequence number. */
export const MESSAGE_HEADER_BYTES = 16;
