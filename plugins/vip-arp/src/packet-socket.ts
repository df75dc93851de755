/**
 * A packet socket: whole Ethernet frames of one protocol on one interface. Kept open for as long as the driver lives, because closing one
 * waits for a grace period of the kernel; what arrives while nobody is interested fills a small kernel buffer and is thrown away later.
 */
import { AF_PACKET, attachSocketFilter, bindSocket, closeSocket, openRawSocket, receiveOn, sendOnTo, setSocketOption } from './libc.js';

const SOL_PACKET = 263;
const PACKET_IGNORE_OUTGOING = 23;
/** Longer frames are cut: neither ARP nor neighbour discovery needs more, and one buffer serves all. */
const FRAME_BYTES_MAX = 2048;

export class PacketSocket {
  private readonly fd: number;
  private readonly address: Buffer;
  private readonly buffer = Buffer.alloc(FRAME_BYTES_MAX);
  private closed = false;

  /**
   * @param filter classic BPF, attached before the first frame can arrive
   * @throws SystemCallFailed
   */
  constructor(interfaceIndex: number, etherType: number, filter?: Buffer) {
    this.address = Buffer.alloc(20);
    this.address.writeUInt16LE(AF_PACKET, 0);
    this.address.writeUInt16BE(etherType, 2);
    this.address.writeInt32LE(interfaceIndex, 4);
    this.address[11] = 6;
    this.fd = openRawSocket(AF_PACKET, 0);
    try {
      if (filter !== undefined) attachSocketFilter(this.fd, filter);
      // Older kernels refuse this; own frames are also told apart by their hardware address.
      setSocketOption(this.fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1);
      bindSocket(this.fd, this.address);
    } catch (error) {
      void this.close();
      throw error;
    }
  }

  /** Best-effort, never waits. The destination is the one in the frame. @throws SystemCallFailed */
  send(frame: Buffer): void {
    frame.copy(this.address, 12, 0, 6);
    sendOnTo(this.fd, frame, this.address);
  }

  /**
   * The next frame, valid until the next call; undefined when none waits.
   * @throws SystemCallFailed once after the interface went down
   */
  receive(): Buffer | undefined {
    if (this.closed) return undefined;
    const length = receiveOn(this.fd, this.buffer);
    return length === undefined ? undefined : this.buffer.subarray(0, length);
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    await closeSocket(this.fd);
  }
}
