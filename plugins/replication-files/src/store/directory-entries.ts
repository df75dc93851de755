/** Entries of a directory, as getdents64(2) fills them into a buffer. */
export interface DirectoryEntry {
  readonly name: Buffer;
  readonly ino: bigint;
  /** S_IFMT bits, 0 where the file system does not say. */
  readonly type: number;
  /** Where to continue after this entry. */
  readonly offset: bigint;
}

/**
 * The entries in the first `bytes` of a buffer of `struct linux_dirent64`, without `.`, `..` and the name that is left out.
 * @returns with where to continue; undefined when there was none at all
 */
export function entriesIn(
  raw: Buffer,
  bytes: number,
  leftOut: Buffer | undefined,
): { entries: DirectoryEntry[]; next: bigint | undefined } {
  const entries: DirectoryEntry[] = [];
  let next: bigint | undefined;
  for (let at = 0; at < bytes; at += raw.readUInt16LE(at + 16)) {
    const name = Buffer.from(raw.subarray(at + 19, raw.indexOf(0, at + 19)));
    next = raw.readBigInt64LE(at + 8);
    if (isDots(name) || leftOut?.equals(name) === true) continue;
    entries.push({ name, ino: raw.readBigUInt64LE(at), type: (raw[at + 18] as number) << 12, offset: next });
  }
  return { entries, next };
}

function isDots(name: Buffer): boolean {
  return name[0] === 0x2e && (name.length === 1 || (name.length === 2 && name[1] === 0x2e));
}
