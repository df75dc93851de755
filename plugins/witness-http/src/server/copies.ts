/**
 * The records of one cluster on the disk, in two copies. Both are written and synced, one after the other, before anybody is answered.
 * So after a power cut at any moment one copy is whole, and whatever was answered is in both: when one is damaged, the other one is not
 * older than any answer. With copies that are written in turn it would be, and a second claim could be granted after a disk error.
 *
 * A copy is text that a human can read: a line with length and checksum, then JSON. It is written in place and has room to spare from
 * the start, because deciding must work on a full disk.
 */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HoldfastError, type WitnessRecord, messageOf, witnessRecordOf } from '@holdfast/sdk';

export interface StoredRecord {
  readonly record: WitnessRecord;
  /** Wall-clock time for people. */
  readonly changedAt: string;
}

export interface Snapshot {
  /** Grows with every write. */
  readonly sequence: number;
  readonly records: ReadonlyMap<string, StoredRecord>;
}

const COPIES = ['records.1', 'records.2'] as const;
const COPY_BYTES_MIN = 16 * 1024;
const COPY_BYTES_MAX = 1024 * 1024;
const MAGIC = 'holdfast-witness-records-1';

export interface Loaded {
  readonly snapshot: Snapshot;
  /** A copy that is damaged, or older because a write was interrupted. */
  readonly behind: readonly string[];
}

/** @throws HoldfastError HF_WITNESS_STATE with the names of the files when neither copy is whole */
export async function loadCopies(directory: string): Promise<Loaded> {
  const copies = await Promise.all(COPIES.map((name) => readCopy(join(directory, name))));
  const whole = copies.flatMap(({ snapshot }) => (snapshot === undefined ? [] : [snapshot]));
  const newest = whole.reduce<Snapshot | undefined>(
    (best, each) => (best === undefined || each.sequence > best.sequence ? each : best),
    undefined,
  );
  if (newest === undefined) {
    const files = COPIES.map((name) => join(directory, name));
    const why = copies.map(({ problem }, index) => `${files[index] ?? ''} ${problem ?? ''}`).join(', ');
    throw new HoldfastError('HF_WITNESS_STATE', `both copies of the records are damaged: ${why}`, { files });
  }
  const behind = copies.flatMap(({ snapshot, problem }, index) =>
    snapshot?.sequence === newest.sequence ? [] : [`${COPIES[index] ?? ''} ${problem ?? 'is older'}`],
  );
  return { snapshot: newest, behind };
}

/** Resolves when both copies are on the disk. Calls for one directory must not overlap. @throws the disk's error */
export async function writeCopies(directory: string, snapshot: Snapshot, flags = constants.O_WRONLY): Promise<void> {
  const text = render(snapshot);
  for (const name of COPIES) {
    const handle = await open(join(directory, name), flags, 0o600);
    try {
      await writeOver(handle, text);
      await handle.datasync();
    } finally {
      await handle.close();
    }
  }
}

/** Both files anew, with nothing in them. */
export async function createCopies(directory: string): Promise<void> {
  await writeCopies(directory, { sequence: 0, records: new Map() }, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL);
}

async function writeOver(handle: FileHandle, text: Buffer): Promise<void> {
  const { size } = await handle.stat();
  // Blanks behind the text do not count; they are there so that the next text finds its blocks.
  const room = Math.max(COPY_BYTES_MIN, Math.ceil(text.length / COPY_BYTES_MIN) * COPY_BYTES_MIN);
  const content = size >= room ? text : Buffer.concat([text, Buffer.alloc(room - text.length, ' ')]);
  for (let written = 0; written < content.length; ) {
    const { bytesWritten } = await handle.write(content, written, content.length - written, written);
    written += bytesWritten;
  }
}

function render({ sequence, records }: Snapshot): Buffer {
  const body = Buffer.from(`${JSON.stringify({ sequence, records: Object.fromEntries(records) }, null, 1)}\n`);
  return Buffer.concat([Buffer.from(`${MAGIC} ${body.length} ${digestOf(body)}\n`), body]);
}

function digestOf(body: Buffer): string {
  return createHash('sha256').update(body).digest('hex');
}

async function readCopy(file: string): Promise<{ readonly snapshot?: Snapshot; readonly problem?: string }> {
  try {
    const content = await readFile(file);
    if (content.length > COPY_BYTES_MAX) return { problem: 'is too large' };
    const end = content.indexOf('\n');
    const [magic, length, digest] = content.subarray(0, Math.max(end, 0)).toString('latin1').split(' ');
    if (magic !== MAGIC) return { problem: 'does not begin as such a file does' };
    const body = content.subarray(end + 1, end + 1 + Number(length));
    if (body.length !== Number(length)) return { problem: 'is cut off' };
    if (digestOf(body) !== digest) return { problem: 'does not have its checksum' };
    return { snapshot: parse(JSON.parse(body.toString('utf8'))) };
  } catch (error) {
    return { problem: `cannot be read (${messageOf(error)})` };
  }
}

/** @throws Error for what no server of ours wrote, whatever its checksum says */
function parse(value: unknown): Snapshot {
  const { sequence, records } = value as { readonly sequence: unknown; readonly records: Readonly<Record<string, unknown>> };
  if (typeof sequence !== 'number' || !Number.isSafeInteger(sequence)) throw new Error('its sequence is no number');
  const entries = Object.entries(records).map(([module, stored]): [string, StoredRecord] => {
    const { record, changedAt } = stored as { readonly record: unknown; readonly changedAt: unknown };
    const read = witnessRecordOf(record);
    if (read === undefined || typeof changedAt !== 'string') throw new Error(`the record of ${JSON.stringify(module)} is none`);
    return [module, { record: read, changedAt }];
  });
  return { sequence, records: new Map(entries) };
}
