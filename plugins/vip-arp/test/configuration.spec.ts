/** The element as operators write it: what is accepted, what is refused and by which name; the limit on defending; the manifest. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { type ElementValue, HoldfastError, type PluginManifest } from '@holdfast/sdk';
import { readWishedAddresses } from '../src/configuration.js';
import { arpDriver } from '../src/driver.js';

function list(virtualAddress: ElementValue, networkInterface: ElementValue = {}): ElementValue {
  return { interface: [{ ...networkInterface, real_interface: [{ virtual_addr: [virtualAddress] }] }] };
}

describe('interface_list', () => {
  it('gives the addresses of every interface with their attributes', () => {
    const configuration: ElementValue = {
      interface: [
        { real_interface: [{ virtual_addr: [{ addr: '10.0.0.9' }, { addr: 'FD00:0::9', netmask: '64' }] }] },
        {
          name: 'eth1',
          arpreroute: true,
          arpinterval: 2,
          arpelapse: 20,
          real_interface: [{ virtual_addr: [{ addr: '10.1.0.9', netmask: '255.255.0.0', where: 'one_side' }] }],
        },
      ],
    };
    assert.deepEqual(
      readWishedAddresses(configuration, ['10.0.0.1']).map((wished) => ({ ...wished, address: wished.address.text })),
      [
        { address: '10.0.0.9', prefixLength: undefined, interfaceName: undefined, isSource: false, rerouting: undefined },
        { address: 'fd00::9', prefixLength: 64, interfaceName: undefined, isSource: false, rerouting: undefined },
        { address: '10.1.0.9', prefixLength: 16, interfaceName: 'eth1', isSource: true, rerouting: { intervalMs: 2000, elapseMs: 20_000 } },
      ],
    );
    const [rerouted] = readWishedAddresses(list({ addr: '10.0.0.9' }, { arpreroute: true }), []);
    assert.deepEqual(rerouted?.rerouting, { intervalMs: 60_000, elapseMs: 1_200_000 });
  });

  it('is refused by the attribute that is wrong', () => {
    const refused: readonly (readonly [ElementValue, RegExp])[] = [
      [list({ addr: 'db.example' }), /HF_VIP_ADDRESS_INVALID: .*"db\.example"/],
      [list({ addr: '10.0.0.9', netmask: '255.0.255.0' }), /HF_VIP_NETMASK_INVALID: .*255\.0\.255\.0/],
      [list({ addr: 'fd00::9', netmask: '255.255.255.0' }), /HF_VIP_NETMASK_INVALID/],
      [list({ addr: '10.0.0.9', connections: true }), /HF_VIP_UNSUPPORTED: connections="on".*not supported yet/],
      [list({ addr: 'fd00:0::1' }), /HF_VIP_ADDRESS_IS_REAL/],
      [{ interface: [{ real_interface: [{ virtual_addr: [{ addr: 'fd00::9' }, { addr: 'fd00:0::9' }] }] }] }, /HF_VIP_ADDRESS_DUPLICATE/],
      [{ interface: [] }, /HF_VIP_NO_ADDRESS/],
    ];
    for (const [configuration, message] of refused) assert.throws(() => readWishedAddresses(configuration, ['fd00::1']), message);
  });
});

describe('the place of a refusal', () => {
  it('is the virtual address and the attribute', () => {
    const configuration: ElementValue = {
      interface: [
        { real_interface: [{ virtual_addr: [{ addr: '10.0.0.9' }] }] },
        { real_interface: [{ virtual_addr: [{ addr: '10.0.0.10' }, { addr: '10.0.0.11', netmask: '33' }] }] },
      ],
    };
    assert.throws(
      () => arpDriver.addresses?.(configuration),
      (error: unknown) => {
        assert(error instanceof HoldfastError);
        assert.deepEqual(
          [error.details['pointer'], error.details['attribute']],
          ['/interface/1/real_interface/0/virtual_addr/1', 'netmask'],
        );
        return true;
      },
    );
  });

  it('is not needed for what is well: the addresses in canonical form', () => {
    assert.deepEqual(arpDriver.addresses?.(list({ addr: 'FD00:0::9' })), ['fd00::9']);
  });
});

describe('plugin.json of vip-arp', () => {
  it('declares the driver that the plug-in registers, and a schema that is there', () => {
    const root = new URL('../../', import.meta.url);
    const manifest = JSON.parse(readFileSync(new URL('plugin.json', root), 'utf8')) as PluginManifest;
    const [driver] = manifest.contributes.virtualIpDriver ?? [];
    assert.equal(driver?.type, 'arp');
    assert.deepEqual([driver.configuration?.element, driver.configuration?.parent], ['interface_list', 'vip']);
    const schema: unknown = JSON.parse(readFileSync(new URL(driver.configuration?.schema ?? '', root), 'utf8'));
    assert.equal((schema as { additionalProperties: boolean }).additionalProperties, false);
  });
});
