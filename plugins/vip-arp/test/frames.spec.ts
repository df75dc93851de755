/** What goes on the wire and what is read from it: known bytes, round trips and garbage. */
import assert from 'node:assert/strict';
import { isIPv6 } from 'node:net';
import fc from 'fast-check';
import { decodeArpClaim, encodeArpProbe, encodeGratuitousArp } from '../src/arp-frames.js';
import { formatMac, isHostMac } from '../src/claim.js';
import { fromBytes, inSameSubnet, parseIpAddress, prefixLengthOf, unusableReason } from '../src/ip-address.js';
import {
  decodeNeighbourClaim,
  encodeDuplicateAddressSolicitation,
  encodeSolicitation,
  encodeUnsolicitedAdvertisement,
} from '../src/neighbour-discovery-frames.js';
import { decodeErrno, decodeMessages, encodeMessage } from '../src/netlink-messages.js';
import { decodeAddress, decodeLink } from '../src/rtnetlink-messages.js';
import { decodeConnection } from '../src/tcp-connections.js';

const bytes = (length: number): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ minLength: length, maxLength: length }).map((array) => Buffer.from(array));
const anyFrame = fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array));
const mac = Buffer.from('5afe32010164', 'hex');
const vip4 = Buffer.from([10, 50, 1, 100]);
const vip6 = Buffer.from('fd500001000000000000000000000100', 'hex');

describe('ARP and neighbour discovery frames', () => {
  it('encodes gratuitous ARP as RFC 826 lays it out', () => {
    assert.deepEqual(
      encodeGratuitousArp(mac, vip4).map((frame) => frame.toString('hex')),
      [
        'ffffffffffff5afe3201016408060001080006040001' + '5afe320101640a320164' + '0000000000000a320164',
        'ffffffffffff5afe3201016408060001080006040002' + '5afe320101640a320164' + 'ffffffffffff0a320164',
      ],
    );
  });

  it('encodes an advertisement to all nodes with a checksum that its own decoder accepts', () => {
    const frame = encodeUnsolicitedAdvertisement(mac, vip6);
    assert.equal(frame.subarray(0, 14).toString('hex'), '3333000000015afe3201016486dd');
    assert.deepEqual(decodeNeighbourClaim(frame), { address: 'fd50:1::100', mac });
  });

  it('asks without claiming anything', () => {
    assert.equal(decodeArpClaim(encodeArpProbe(mac, vip4)), undefined);
    const solicitation = encodeDuplicateAddressSolicitation(mac, vip6);
    assert.equal(solicitation.subarray(0, 6).toString('hex'), '3333ff000100');
    assert.equal(decodeNeighbourClaim(solicitation), undefined);
  });

  it('asks another owner in the name of the own address, which is all that this claims', () => {
    const own = parseIpAddress('fd50:1::1');
    assert(own !== undefined);
    const solicitation = encodeSolicitation(mac, own.bytes, vip6);
    assert.equal(solicitation.subarray(0, 6).toString('hex'), '3333ff000100');
    assert.deepEqual(solicitation.subarray(62, 78), vip6, 'the target');
    assert.deepEqual(decodeNeighbourClaim(solicitation), { address: 'fd50:1::1', mac });
  });

  it('reads back every claim that it encoded', () => {
    fc.assert(
      fc.property(bytes(6), bytes(4), bytes(16), (anyMac, address4, address6) => {
        fc.pre(address4.some((byte) => byte !== 0));
        for (const frame of encodeGratuitousArp(anyMac, address4)) {
          assert.deepEqual(decodeArpClaim(frame), { address: fromBytes(address4).text, mac: anyMac });
        }
        const claim = decodeNeighbourClaim(encodeUnsolicitedAdvertisement(anyMac, address6));
        assert.deepEqual(claim, { address: fromBytes(address6).text, mac: anyMac });
      }),
    );
  });

  it('never throws on garbage, and never takes damaged neighbour discovery for a claim', () => {
    const genuine = encodeUnsolicitedAdvertisement(mac, vip6);
    fc.assert(
      fc.property(anyFrame, fc.nat(genuine.length - 1), fc.integer({ min: 1, max: 255 }), (garbage, at, change) => {
        decodeArpClaim(garbage);
        decodeNeighbourClaim(garbage);
        decodeNeighbourClaim(Buffer.concat([genuine.subarray(0, 20), garbage]));
        decodeArpClaim(Buffer.concat([encodeArpProbe(mac, vip4).subarray(0, 20), garbage]));
        const damaged = Buffer.from(genuine);
        damaged[at] = (damaged[at] ?? 0) ^ change;
        const claim = decodeNeighbourClaim(damaged);
        // Traffic class, flow label and Ethernet addresses are covered by no checksum and change nothing that is claimed.
        if (claim !== undefined) assert.deepEqual(claim, { address: 'fd50:1::100', mac });
        for (let length = 0; length < genuine.length; length += 1)
          assert.equal(decodeNeighbourClaim(genuine.subarray(0, length)), undefined);
      }),
    );
  });

  it('knows hardware addresses that no host has', () => {
    assert(isHostMac(mac));
    for (const bad of ['000000000000', 'ffffffffffff', '01005e000001', '5afe']) assert(!isHostMac(Buffer.from(bad, 'hex')));
    assert.equal(formatMac(mac), '5a:fe:32:01:01:64');
  });
});

describe('netlink messages', () => {
  it('never throws on garbage', () => {
    fc.assert(
      fc.property(anyFrame, (garbage) => {
        for (const message of decodeMessages(garbage)) assert(message.body.length <= garbage.length);
        decodeAddress(garbage);
        decodeLink(garbage);
        decodeErrno(garbage);
        decodeConnection(garbage);
        const [wrapped] = decodeMessages(encodeMessage(20, 5, 7, garbage));
        assert.deepEqual(wrapped, { type: 20, flags: 5, sequence: 7, body: garbage });
      }),
    );
  });
});

describe('IP addresses', () => {
  it('are the same text and bytes for every way to write them', () => {
    const written = {
      '::1': '::1',
      'FD50:0001::0:0100': 'fd50:1::100',
      '::ffff:10.0.0.1': '::ffff:a00:1',
      '1:0:0:2::': '1:0:0:2::',
      '10.0.0.1': '10.0.0.1',
    };
    for (const [text, canonical] of Object.entries(written)) assert.equal(parseIpAddress(text)?.text, canonical);
    for (const text of ['', 'db1', '10.0.0', '10.0.0.1/24', 'fe80::1%eth0', ':::', '10.0.0.256'])
      assert.equal(parseIpAddress(text), undefined);
    fc.assert(
      fc.property(bytes(16), (address) => {
        const { text } = fromBytes(address);
        assert(isIPv6(text));
        assert.deepEqual(parseIpAddress(text)?.bytes, address);
      }),
    );
  });

  it('share a subnet exactly when their first bits are equal', () => {
    const parse = (text: string): ReturnType<typeof fromBytes> => parseIpAddress(text) ?? assert.fail(text);
    assert(inSameSubnet(parse('10.0.0.1'), parse('10.0.1.1'), 23));
    assert(!inSameSubnet(parse('10.0.0.1'), parse('10.0.1.1'), 24));
    assert(inSameSubnet(parse('10.0.0.1'), parse('200.0.1.1'), 0));
    assert(!inSameSubnet(parse('10.0.0.1'), parse('fd00::1'), 0));
    assert(inSameSubnet(parse('fd00::1'), parse('fd00::2'), 126));
    assert(!inSameSubnet(parse('fd00::1'), parse('fd00::2'), 127));
  });

  it('have a prefix length for every contiguous mask and no other', () => {
    assert.equal(prefixLengthOf('255.255.255.0', 4), 24);
    assert.equal(prefixLengthOf('255.255.255.255', 4), 32);
    assert.equal(prefixLengthOf('128.0.0.0', 4), 1);
    assert.equal(prefixLengthOf('64', 6), 64);
    for (const bad of ['0', '33', '255.0.255.0', '0.0.0.0', '255.255.255.1', 'abc', '-1', '24.5'])
      assert.equal(prefixLengthOf(bad, 4), undefined, bad);
    for (const bad of ['0', '129', '255.255.255.0']) assert.equal(prefixLengthOf(bad, 6), undefined, bad);
  });

  it('that cannot be virtual ones are known with the reason', () => {
    const reason = (text: string, prefix: number): string | undefined => unusableReason(parseIpAddress(text) ?? assert.fail(text), prefix);
    assert.equal(reason('10.0.0.5', 24), undefined);
    assert.equal(reason('10.0.0.0', 31), undefined);
    assert.equal(reason('10.0.0.255', 32), undefined);
    assert.match(reason('10.0.0.255', 24) ?? '', /broadcast/);
    assert.match(reason('10.0.0.0', 24) ?? '', /network address/);
    assert.match(reason('127.0.0.2', 8) ?? '', /loopback/);
    assert.match(reason('224.0.0.1', 24) ?? '', /multicast/);
    assert.match(reason('ff02::1', 64) ?? '', /multicast/);
    assert.match(reason('::', 64) ?? '', /unspecified/);
    assert.match(reason('::1', 128) ?? '', /loopback/);
    assert.equal(reason('fd00::1', 64), undefined);
  });
});
