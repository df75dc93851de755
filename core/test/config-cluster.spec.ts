import assert from 'node:assert/strict';
import { parseCluster } from '../src/config/index.js';
import { fixture, refuses } from './config-fixtures.js';

const node = (n: number, addr: string, more = ''): string => `<node name="node${n}" addr="${addr}"${more}/>`;
const PAIR = node(1, '10.0.0.1') + node(2, '10.0.0.2');

function cluster(lans: string, attributes = ''): string {
  return `<cluster>\n<lans${attributes}>\n${lans}\n</lans>\n</cluster>`;
}

const parse = (xml: string): ReturnType<typeof parseCluster> => parseCluster(xml, 'cluster.xml');
const lan = (nodes: string, name = 'default', more = ''): string => `<lan name="${name}"${more}>${nodes}</lan>`;

describe('cluster.xml', () => {
  it('gives networks, nodes and addresses, with brackets removed', () => {
    const { lans, port, digest } = parse(fixture('cluster.xml'));
    assert.equal(port, 4810);
    assert.match(digest, /^[0-9a-f]{64}$/);
    assert.deepEqual(lans, [
      {
        name: 'default',
        command: false,
        nodes: [
          { name: 'node1', address: '10.0.0.1' },
          { name: 'node2', address: '10.0.0.2', localAddress: '192.168.7.2' },
        ],
      },
      {
        name: 'replication',
        command: true,
        nodes: [
          { name: 'node1', address: 'fd00::1' },
          { name: 'node2', address: 'fd00::2' },
        ],
      },
    ]);
  });

  it('uses the first network for commands when none is marked, and port 4800', () => {
    const { lans, port } = parse(cluster(lan(PAIR) + lan(node(1, 'fe80::1%eth0') + node(2, 'fe80::2%eth0'), 'b')));
    assert.deepEqual(
      lans.map(({ command }) => command),
      [true, false],
    );
    assert.equal(port, 4800);
  });

  it('accepts more than two nodes, and one alone for light modules', () => {
    assert.equal(parse(cluster(lan(node(1, '10.0.0.1')))).lans[0]?.nodes.length, 1);
    assert.equal(parse(cluster(lan(PAIR + node(3, '10.0.0.3')))).lans[0]?.nodes.length, 3);
  });

  it('has the same digest whatever the comments, blanks and order of attributes, and another for another address', () => {
    const one = parse(cluster(lan(PAIR)));
    const swapped = PAIR.replace('name="node1" addr="10.0.0.1"', 'addr="10.0.0.1" name="node1"');
    const two = parse(`<!DOCTYPE cluster><!-- same --><cluster><lans><lan   name='default'>${swapped}</lan></lans></cluster>`);
    const other = parse(cluster(lan(node(1, '10.0.0.1') + node(2, '10.0.0.9'))));
    assert.equal(one.digest, two.digest);
    assert.notEqual(one.digest, other.digest);
  });

  it('refuses a host name and says to write the IP', () => {
    refuses(
      () => parse(cluster(lan(PAIR.replace('10.0.0.2', 'node2.example')))),
      'HF_CONFIG_ADDRESS',
      '3:76',
      /"node2.example".*write the IP/,
    );
    refuses(() => parse(cluster(lan(node(1, '10.0.0.1', ' laddr="x"') + node(2, '10.0.0.2')))), 'HF_CONFIG_ADDRESS', '3:56', /laddr="x"/);
  });

  it('refuses addresses that are not those of one host', () => {
    for (const addr of ['0.0.0.0', '224.0.0.1', '255.255.255.255', '::', 'ff02::1']) {
      const other = addr.includes(':') ? 'fd00::1' : '10.0.0.1';
      refuses(() => parse(cluster(lan(node(1, addr) + node(2, other)))), 'HF_CONFIG_ADDRESS', '3:40', /not the address of one host/);
    }
  });

  it('refuses one address for two, in whatever spelling', () => {
    refuses(
      () => parse(cluster(lan(node(1, '10.0.0.1') + node(2, '10.0.0.1')))),
      'HF_CONFIG_ADDRESS_DUPLICATE',
      '3:76',
      /already that of node node1/,
    );
    const spelled = lan(node(1, 'fd00::1') + node(2, '[fd00:0:0::0001]'));
    refuses(() => parse(cluster(spelled)), 'HF_CONFIG_ADDRESS_DUPLICATE', '3:75', /fd00/);
    const overLans = `${lan(PAIR)}\n${lan(node(1, '10.0.0.1') + node(2, '10.0.1.2'), 'b')}`;
    refuses(
      () => parse(cluster(overLans)),
      'HF_CONFIG_ADDRESS_DUPLICATE',
      '4:34',
      /node1 in lan b is already that of node node1 in lan default/,
    );
  });

  it('refuses IPv4 and IPv6 in one network', () => {
    refuses(() => parse(cluster(lan(node(1, '10.0.0.1') + node(2, 'fd00::1')))), 'HF_CONFIG_ADDRESS', '3:76', /is IPv6, but/);
  });

  it('refuses equal names and names with a meaning', () => {
    refuses(() => parse(cluster(lan(node(1, '10.0.0.1') + node(1, '10.0.0.2')))), 'HF_CONFIG_NAME_DUPLICATE', '3:63', /listed twice/);
    const lans = `${lan(PAIR)}\n${lan(node(1, '10.1.0.1') + node(2, '10.1.0.2'))}`;
    refuses(() => parse(cluster(lans)), 'HF_CONFIG_NAME_DUPLICATE', '4:6', /two lans are named "default"/);
    refuses(() => parse(cluster(lan(PAIR.replace('node2', 'alone')))), 'HF_CONFIG_VALUE', '3:63', /meaning in defaultprim/);
    refuses(() => parse(cluster(lan(PAIR.replace('node2', '../x')))), 'HF_CONFIG_VALUE', '3:63', /letters, digits/);
  });

  it('refuses networks with different nodes', () => {
    const lans = `${lan(PAIR)}\n${lan(node(1, '10.1.0.1') + node(3, '10.1.0.3'), 'b')}`;
    refuses(() => parse(cluster(lans)), 'HF_CONFIG_LAN_NODES', '4:1', /lacks node2 and has node3 in addition/);
  });

  it('refuses two networks for commands', () => {
    const lans = `${lan(PAIR, 'a', ' command="on"')}\n${lan(node(1, '10.1.0.1') + node(2, '10.1.0.2'), 'b', ' command="on"')}`;
    refuses(() => parse(cluster(lans)), 'HF_CONFIG_LAN_COMMAND', '4:15', /lan "a" has it already/);
  });

  it('refuses no node, no network, and unknown names', () => {
    refuses(() => parse(cluster(lan(''))), 'HF_CONFIG_ELEMENT_MISSING', '3:1', /at least one <node>/);
    refuses(() => parse(cluster('')), 'HF_CONFIG_ELEMENT_MISSING', '2:1', /at least one <lan>/);
    refuses(() => parse('<cluster/>'), 'HF_CONFIG_ELEMENT_MISSING', '1:1', /at least one <lans>/);
    refuses(() => parse(cluster(lan(PAIR), ' prot="1"')), 'HF_CONFIG_ATTRIBUTE_UNKNOWN', '2:7', /did you mean "port"/);
    refuses(() => parse(cluster(lan(PAIR), ' port="0"')), 'HF_CONFIG_VALUE_RANGE', '2:7', /at least 1/);
    refuses(() => parse(cluster(lan(PAIR), ' pulse="100"')), 'HF_CONFIG_NOT_SUPPORTED', '2:7', /remove it/);
    refuses(() => parse(cluster(lan(PAIR, 'a', ' console="on"'))), 'HF_CONFIG_NOT_SUPPORTED', '3:15', /remove it/);
  });
});
