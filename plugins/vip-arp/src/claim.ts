/** What ARP and neighbour discovery have in common: somebody on the network says that an address is at a hardware address. */
export interface Claim {
  /** In the text form of `IpAddress`. */
  readonly address: string;
  /** 6 bytes. */
  readonly mac: Buffer;
}

/** A hardware address that a host can have: not a group address and not empty. Claims with another one are garbage. */
export function isHostMac(mac: Buffer): boolean {
  return mac.length === 6 && (mac.readUInt8(0) & 1) === 0 && mac.some((byte) => byte !== 0);
}

export function formatMac(mac: Buffer): string {
  return Array.from(mac, (byte) => byte.toString(16).padStart(2, '0')).join(':');
}
