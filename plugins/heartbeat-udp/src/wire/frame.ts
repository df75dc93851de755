/**
 * The datagram, byte by byte. Numbers are big-endian.
 *
 *   header, in the clear, authenticated           body, sealed
 *    0  4  magic "HFHB"                            0  1  flags: 1 goodbye, 2 carries a payload
 *    4  1  version                                 1 16  echo: the receiver's incarnation, as far as the sender knows; else zeros
 *    5  4  key id: which cluster key               17  4  age of the agent's last tick, ms (saturates)
 *    9 16  incarnation of the sender              21  2  payload length, 0..8192
 *   25  8  counter, 1, 2, 3, …                     23  n  payload
 *   33  …  sealed body with a tag of 16 bytes
 *
 * Module, nodes and link are not sent: they are in the derivation of the key (sealing.ts), so a frame of another module, node or link
 * does not open. Decoding never throws: whatever the network brings is data, and anything not exactly of this shape is `undefined`.
 */
import { HEARTBEAT_PAYLOAD_BYTES_MAX } from '@holdfast/sdk';

export const HEADER_BYTES = 33;
export const TAG_BYTES = 16;
export const INCARNATION_BYTES = 16;
export const KEY_ID_BYTES = 4;

const MAGIC = Buffer.from('HFHB', 'latin1');
const VERSION = 1;
const BODY_FIXED_BYTES = 23;
const FLAG_GOODBYE = 1;
const FLAG_PAYLOAD = 2;
const AGE_MS_MAX = 0xffffffff;

export const FRAME_BYTES_MIN = HEADER_BYTES + BODY_FIXED_BYTES + TAG_BYTES;
export const FRAME_BYTES_MAX = FRAME_BYTES_MIN + HEARTBEAT_PAYLOAD_BYTES_MAX;

export interface Header {
  readonly keyId: Buffer;
  readonly incarnation: Buffer;
  readonly counter: number;
}

export interface Body {
  readonly goodbye: boolean;
  /** The incarnation of the receiver that the sender last heard, all zeros when none. */
  readonly echo: Buffer;
  readonly agentTickAgeMs: number;
  /** Undefined in a frame sent before the agent published anything: it only introduces the sender. */
  readonly payload: Uint8Array | undefined;
}

export function encodeHeader(header: Header): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES);
  MAGIC.copy(bytes, 0);
  bytes.writeUInt8(VERSION, 4);
  header.keyId.copy(bytes, 5, 0, KEY_ID_BYTES);
  header.incarnation.copy(bytes, 9, 0, INCARNATION_BYTES);
  bytes.writeBigUInt64BE(BigInt(header.counter), 25);
  return bytes;
}

export function decodeHeader(datagram: Buffer): Header | undefined {
  if (datagram.length < FRAME_BYTES_MIN || datagram.length > FRAME_BYTES_MAX) return undefined;
  if (!datagram.subarray(0, 4).equals(MAGIC) || datagram[4] !== VERSION) return undefined;
  const counter = datagram.readBigUInt64BE(25);
  if (counter < 1n || counter > BigInt(Number.MAX_SAFE_INTEGER)) return undefined;
  return { keyId: datagram.subarray(5, 9), incarnation: datagram.subarray(9, 25), counter: Number(counter) };
}

export function encodeBody(body: Body): Buffer {
  const payload = body.payload ?? new Uint8Array();
  const bytes = Buffer.alloc(BODY_FIXED_BYTES + payload.length);
  bytes.writeUInt8((body.goodbye ? FLAG_GOODBYE : 0) | (body.payload === undefined ? 0 : FLAG_PAYLOAD), 0);
  body.echo.copy(bytes, 1, 0, INCARNATION_BYTES);
  bytes.writeUInt32BE(Math.min(Math.max(0, Math.round(body.agentTickAgeMs)), AGE_MS_MAX), 17);
  bytes.writeUInt16BE(payload.length, 21);
  bytes.set(payload, BODY_FIXED_BYTES);
  return bytes;
}

export function decodeBody(bytes: Buffer): Body | undefined {
  if (bytes.length < BODY_FIXED_BYTES) return undefined;
  const flags = bytes.readUInt8(0);
  const length = bytes.readUInt16BE(21);
  const carriesPayload = (flags & FLAG_PAYLOAD) !== 0;
  if ((flags & ~(FLAG_GOODBYE | FLAG_PAYLOAD)) !== 0 || length > HEARTBEAT_PAYLOAD_BYTES_MAX) return undefined;
  if (bytes.length !== BODY_FIXED_BYTES + length || (!carriesPayload && length > 0)) return undefined;
  return {
    goodbye: (flags & FLAG_GOODBYE) !== 0,
    echo: bytes.subarray(1, 17),
    agentTickAgeMs: bytes.readUInt32BE(17),
    payload: carriesPayload ? bytes.subarray(BODY_FIXED_BYTES) : undefined,
  };
}
