/** Ids of objects: the names that both nodes know them by. Random, but for those of the replicated directories themselves. */
import { randomFillSync } from 'node:crypto';

/** Ids 1 to 255 belong to the roots, but for this one, which no root gets: an object that is not replicated. */
const OBJECT_ID_MIN = 256n;
export const EXCLUDED_ID = 255n;

/** A random id for a new object. */
export function newObjectId(): bigint {
  if (idPoolAt === idPool.length) {
    randomFillSync(idPool);
    idPoolAt = 0;
  }
  const id = idPool.readBigUInt64LE(idPoolAt);
  idPoolAt += 8;
  return id >= OBJECT_ID_MIN ? id : newObjectId();
}
const idPool = Buffer.alloc(4096);
let idPoolAt = idPool.length;

export function rootId(root: number): bigint {
  return BigInt(root + 1);
}
