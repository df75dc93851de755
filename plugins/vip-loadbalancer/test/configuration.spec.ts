import assert from 'node:assert/strict';
import { type ElementValue, HoldfastError } from '@holdfast/sdk';
import { readSettings } from '../src/configuration.js';

describe('the loadbalancer element', () => {
  it('has one probe by http on port 9010, resets connections, and refuses nothing when no port is named', () => {
    assert.deepEqual(readSettings({}), {
      addresses: [],
      ports: [],
      resetsConnections: true,
      probes: [{ protocol: 'http', port: 9010 }],
    });
  });

  it('has ports, addresses and probes of each kind', () => {
    const settings = readSettings({
      port: '8080, 8443',
      tcpreset: false,
      virtual_addr: [{ addr: '203.0.113.10' }],
      probe: [
        { proto: 'http', port: 9010 },
        { proto: 'https', port: 9443, cert: '/etc/c.pem', key: '/etc/k.pem' },
        { proto: 'tcp', port: 9011 },
      ],
    });
    assert.deepEqual(settings.ports, [8080, 8443]);
    assert.equal(settings.resetsConnections, false);
    assert.deepEqual(settings.addresses, ['203.0.113.10']);
    assert.deepEqual(
      settings.probes.map(({ protocol, port }) => `${protocol} ${port}`),
      ['http 9010', 'https 9443', 'tcp 9011'],
    );
    assert.deepEqual(settings.probes[1]?.certificate, { certFile: '/etc/c.pem', keyFile: '/etc/k.pem' });
  });

  const refusals: readonly (readonly [string, ElementValue, RegExp, string, string])[] = [
    ['a port out of range', { port: '8080,70000' }, /1 to 65535/, '', 'port'],
    ['a port that is named twice', { port: '8080,8080' }, /8080 twice/, '', 'port'],
    ['a probe on a service port', { port: '9010' }, /9010 is a service port/, '', 'port'],
    [
      'two probes on one port',
      {
        probe: [
          { proto: 'http', port: 9010 },
          { proto: 'tcp', port: 9010 },
        ],
      },
      /two probes/,
      '/probe/1',
      'port',
    ],
    ['https without a key', { probe: [{ proto: 'https', port: 9443, cert: '/c.pem' }] }, /key is missing/, '/probe/0', 'key'],
    ['a certificate without https', { probe: [{ proto: 'tcp', port: 9011, cert: '/c.pem' }] }, /this one is tcp/, '/probe/0', 'cert'],
  ];
  for (const [what, configuration, pattern, pointer, attribute] of refusals) {
    it(`refuses ${what}, and says at which attribute`, () => {
      assert.throws(
        () => readSettings(configuration),
        (error) =>
          error instanceof HoldfastError &&
          error.code === 'HF_LOADBALANCER_CONFIGURATION' &&
          pattern.test(error.message) &&
          error.details['pointer'] === pointer &&
          error.details['attribute'] === attribute,
      );
    });
  }
});
