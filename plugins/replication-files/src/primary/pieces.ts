/** Large writes travel in pieces: the peer works on the first while the others are on their way. */
import type { LiveBody } from './modification.js';

/** Larger writes are sent in pieces of this size. */
const PIECE_BYTES_MAX = 256 << 10;

export function piecesOf(body: LiveBody): readonly LiveBody[] {
  if (body.kind !== 'write' || body.data.length <= PIECE_BYTES_MAX) return [body];
  const pieces: LiveBody[] = [];
  for (let at = 0; at < body.data.length; at += PIECE_BYTES_MAX) {
    pieces.push({ ...body, offset: body.offset + at, data: body.data.subarray(at, at + PIECE_BYTES_MAX) });
  }
  return pieces;
}
