/**
 * The `interface_list` element as a flat list of wished addresses. The schema has checked the shape; what a schema cannot say (an address
 * that is the node's own, a mask of the wrong family, an attribute that this driver does not serve yet) is refused here, by name.
 */
import { type ElementValue, HoldfastError } from '@holdfast/sdk';
import { type IpAddress, parseIpAddress, prefixLengthOf } from './ip-address.js';

export interface Rerouting {
  readonly intervalMs: number;
  readonly elapseMs: number;
}

export interface WishedAddress {
  readonly address: IpAddress;
  /** Absent: that of the interface's own address in the subnet. */
  readonly prefixLength: number | undefined;
  /** Absent: the interface of this node whose subnet contains the address. */
  readonly interfaceName: string | undefined;
  /** The node's own connections leave from it, `where="one_side"`. */
  readonly isSource: boolean;
  /** Announcements that go on after the first seconds. */
  readonly rerouting: Rerouting | undefined;
}

const ARP_INTERVAL_SECONDS_DEFAULT = 60;
const ARP_ELAPSE_SECONDS_DEFAULT = 1200;

/** @throws HoldfastError naming the attribute and its value */
export function readWishedAddresses(configuration: ElementValue, localAddresses: readonly string[]): readonly WishedAddress[] {
  const own = new Set(localAddresses.map((text) => parseIpAddress(text)?.text));
  const wished: WishedAddress[] = [];
  for (const [index, networkInterface] of children(configuration, 'interface').entries()) {
    const pointer = `/interface/${index}/real_interface/0/virtual_addr`;
    const virtualAddresses = children(networkInterface, 'real_interface').flatMap((real) => children(real, 'virtual_addr'));
    wished.push(...virtualAddresses.map((one, position) => at(`${pointer}/${position}`, () => readOne(networkInterface, one))));
  }
  if (wished.length === 0) {
    throw new HoldfastError('HF_VIP_NO_ADDRESS', 'interface_list names no virtual_addr; add at least one, or leave the element out');
  }
  for (const [index, { address }] of wished.entries()) {
    if (own.has(address.text)) {
      throw new HoldfastError(
        'HF_VIP_ADDRESS_IS_REAL',
        `virtual_addr addr="${address.text}" is a real address of this node; a virtual address must belong to no node`,
        { address: address.text },
      );
    }
    if (wished.findIndex((other) => other.address.text === address.text) !== index) {
      throw new HoldfastError('HF_VIP_ADDRESS_DUPLICATE', `virtual_addr addr="${address.text}" is given twice`, { address: address.text });
    }
  }
  return wished;
}

/** Says where in the element something was refused, so that the place in the file can be told. */
function at<T>(pointer: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    const message = error.message.slice(error.code.length + ': '.length);
    throw new HoldfastError(error.code, message, { ...error.details, pointer }, { cause: error });
  }
}

function readOne(networkInterface: ElementValue, virtualAddress: ElementValue): WishedAddress {
  const text = textOf(virtualAddress['addr']);
  const address = parseIpAddress(text);
  if (address === undefined) {
    throw new HoldfastError(
      'HF_VIP_ADDRESS_INVALID',
      `virtual_addr addr="${text}" is not an IPv4 or IPv6 literal; names are not resolved here`,
      { address: text, attribute: 'addr' },
    );
  }
  refuseConnections(virtualAddress);
  const name = networkInterface['name'];
  return {
    address,
    prefixLength: readPrefixLength(virtualAddress['netmask'], address),
    interfaceName: name === undefined ? undefined : textOf(name),
    isSource: virtualAddress['where'] === 'one_side',
    rerouting: networkInterface['arpreroute'] === true ? readRerouting(networkInterface) : undefined,
  };
}

function readPrefixLength(netmask: ElementValue[string] | undefined, address: IpAddress): number | undefined {
  if (netmask === undefined) return undefined;
  const prefixLength = prefixLengthOf(textOf(netmask), address.family);
  if (prefixLength === undefined) {
    const wanted = address.family === 4 ? 'a contiguous mask such as 255.255.255.0 or a length from 1 to 32' : 'a length from 1 to 128';
    throw new HoldfastError('HF_VIP_NETMASK_INVALID', `netmask="${textOf(netmask)}" of virtual_addr ${address.text} is not ${wanted}`, {
      address: address.text,
      attribute: 'netmask',
      netmask: textOf(netmask),
    });
  }
  return prefixLength;
}

function readRerouting(networkInterface: ElementValue): Rerouting {
  const seconds = (name: string, fallback: number): number => {
    const value = networkInterface[name];
    return typeof value === 'number' ? value : fallback;
  };
  return {
    intervalMs: seconds('arpinterval', ARP_INTERVAL_SECONDS_DEFAULT) * 1000,
    elapseMs: seconds('arpelapse', ARP_ELAPSE_SECONDS_DEFAULT) * 1000,
  };
}

function refuseConnections(virtualAddress: ElementValue): void {
  if (virtualAddress['connections'] !== true) return;
  const address = textOf(virtualAddress['addr']);
  const message = `connections="on" of virtual_addr ${address} is not supported yet; leave the attribute out`;
  throw new HoldfastError('HF_VIP_UNSUPPORTED', message, { address, attribute: 'connections', value: 'on' });
}

function children(value: ElementValue, name: string): readonly ElementValue[] {
  const found = value[name];
  return typeof found === 'object' ? found : [];
}

/** The schema admits text here; a configuration that did not pass it gives an empty one, which is refused as an address. */
function textOf(value: ElementValue[string] | undefined): string {
  return typeof value === 'string' ? value : '';
}
