/**
 * Listens at the switch of the clients' network, where the frames of both nodes arrive, also those that a fault drops afterwards, and
 * prints who acts as the owner of the virtual address: a line `KIND TIME NODE` for every claim (ARP, neighbour discovery), accepted
 * connection and acknowledged request. `sniffer.js IFACE IPV4 IPV6 PORT NODE=MAC…`; ends with the lab.
 */
import { writeSync } from 'node:fs';
import { ETHERTYPE, type FilterInstruction, PacketSocket, waitForFrames } from '../../lab/packet-socket.js';

const [interfaceName = '', ipv4 = '', ipv6 = '', portText = '', ...nodes] = process.argv.slice(2);
const port = Number(portText);
const names = new Map(nodes.map((word) => word.split('=').reverse() as [string, string]));
const address4 = Buffer.from(ipv4.split('.').map(Number));
const address6 = ipv6Bytes(ipv6);

const LOAD_WORD = 0x20;
const JUMP_IF_EQUAL = 0x15;
const RETURN = 0x06;
const IPV4_SOURCE = 26;
const ETHERNET_BYTES = 14;
const TCP = 6;
const ICMPV6 = 58;
const NEIGHBOUR_ADVERTISEMENT = 136;
const SYN_ACK = 0x12;
const OK = Buffer.from('HTTP/1.1 200');
const IDLE_MS = 200;

/** Only what comes from the virtual address. */
const filter: readonly FilterInstruction[] = [
  [LOAD_WORD, 0, 0, IPV4_SOURCE],
  [JUMP_IF_EQUAL, 0, 1, address4.readUInt32BE(0)],
  [RETURN, 0, 0, 0xffff],
  [RETURN, 0, 0, 0],
];

/** Of each connection, the end of what was sent already: a repeated segment says nothing about now. */
const sentUpTo = new Map<string, number>();

function segment(frame: Buffer): string | undefined {
  const tcp = ETHERNET_BYTES + (frame.readUInt8(ETHERNET_BYTES) & 0x0f) * 4;
  if (frame[ETHERNET_BYTES + 9] !== TCP || frame.length < tcp + 20 || frame.readUInt16BE(tcp) !== port) return undefined;
  const connection = `${frame.toString('hex', 6, 12)} ${frame.readUInt16BE(tcp + 2)}`;
  const sequence = frame.readUInt32BE(tcp + 4);
  if ((frame.readUInt8(tcp + 13) & SYN_ACK) === SYN_ACK) {
    sentUpTo.set(connection, (sequence + 1) >>> 0);
    return 'accept';
  }
  const data = tcp + (frame.readUInt8(tcp + 12) >> 4) * 4;
  const end = ETHERNET_BYTES + frame.readUInt16BE(ETHERNET_BYTES + 2);
  if (end <= data) return undefined;
  const known = sentUpTo.get(connection);
  if (known !== undefined && ((sequence - known) | 0) < 0) return undefined;
  sentUpTo.set(connection, (sequence + end - data) >>> 0);
  return frame.subarray(data, data + OK.length).equals(OK) ? 'acknowledge' : undefined;
}

function arp(frame: Buffer): string | undefined {
  return frame.length >= 42 && frame.subarray(28, 32).equals(address4) ? 'claim' : undefined;
}

function neighbour(frame: Buffer): string | undefined {
  if (frame.length < 78 || frame[20] !== ICMPV6 || frame[54] !== NEIGHBOUR_ADVERTISEMENT) return undefined;
  return frame.subarray(62, 78).equals(address6) ? 'claim6' : undefined;
}

function ipv6Bytes(text: string): Buffer {
  const [head = '', tail = ''] = text.split('::').map((part) =>
    part
      .split(':')
      .map((word) => word.padStart(4, '0'))
      .join(''),
  );
  return Buffer.from(`${head}${'0'.repeat(32 - head.length - tail.length)}${tail}`, 'hex');
}

const sources = [
  { socket: new PacketSocket(interfaceName, ETHERTYPE.ipv4, { filter }), read: segment },
  { socket: new PacketSocket(interfaceName, ETHERTYPE.arp), read: arp },
  { socket: new PacketSocket(interfaceName, ETHERTYPE.ipv6), read: neighbour },
];
writeSync(1, 'ready\n');
for (;;) {
  waitForFrames(
    sources.map(({ socket }) => socket),
    IDLE_MS,
  );
  let lines = '';
  for (const { socket, read } of sources) {
    for (let frame = socket.receive(); frame !== undefined; frame = socket.receive()) {
      const node = names.get(frame.toString('hex', 6, 12));
      const kind = node === undefined ? undefined : read(frame);
      if (kind !== undefined) lines += `${kind} ${socket.receivedAtMs().toFixed(3)} ${node}\n`;
    }
  }
  if (lines !== '') writeSync(1, lines);
}
