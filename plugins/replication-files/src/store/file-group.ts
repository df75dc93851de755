/**
 * Group of the files that this thread creates (fsgid). It belongs to the thread, not to a store, and must not stay another one: since
 * Linux 6.16 a program that is started with a foreign fsgid counts as one that gains privileges (AT_SECURE), and ignores parts of its
 * environment.
 */
import * as sys from '../system/calls.js';

const OWN_GROUP = process.getegid?.() ?? 0;
let present = OWN_GROUP;

/** New files get this group unless their directory is setgid: exactly what the kernel would do for the application. */
export function createAsGroup(gid: number): void {
  if (present === gid) return;
  sys.setfsgid(gid);
  present = gid;
}

export function createAsOwnGroup(): void {
  createAsGroup(OWN_GROUP);
}
