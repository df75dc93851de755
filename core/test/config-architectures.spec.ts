/** mode="light" and mode="farm": what they accept, and what belongs to another architecture. */
import assert from 'node:assert/strict';
import { parseCluster } from '../src/config/index.js';
import { HEART, mirror, parse, refuses } from './config-fixtures.js';

const light = (content: string): string => `<safe>\n<service mode="light">\n${content}\n</service></safe>`;
const farm = (content: string, attributes = ''): string =>
  `<safe>\n<service mode="farm">\n<farm${attributes}><lan name="default"/>${content}</farm><user/></service></safe>`;

function clusterOf(count: number): ReturnType<typeof parseCluster> {
  const nodes = Array.from({ length: count }, (_none, index) => `<node name="n${index + 1}" addr="192.0.2.${index + 1}"/>`).join('');
  return parseCluster(`<cluster><lans><lan name="default">${nodes}</lan></lans></cluster>`, 'cluster.xml');
}

describe('a light module', () => {
  it('needs nothing but its scripts and checks', () => {
    const { configuration, warnings } = parse(light('<user/><errd><proc name="app" class="both"/></errd>'));
    assert.equal(configuration.service.mode, 'light');
    assert.equal(configuration.heart, undefined);
    assert.deepEqual(warnings, []);
  });

  it('refuses what only makes sense with another node', () => {
    const refused = (content: string, message: RegExp): void =>
      refuses(() => parse(light(content)), 'HF_CONFIG_ARCHITECTURE', '3:1', message);
    refused(HEART, /<heart> in a light module: .* knows no other/);
    refused('<farm><lan name="default"/></farm>', /<farm> in a light module/);
    refused('<rfs><replicated dir="/a"/></rfs>', /nothing to replicate to/);
    refused('<vip/>', /its clients use the address of the node/);
    refused('<witness/>', /remove it/);
  });

  it('refuses a check of a role that it never has, and names the one to write', () => {
    const tcp = '<check>\n<tcp ident="web" when="prim"><to addr="192.0.2.1" port="80"/></tcp></check>';
    refuses(() => parse(light(tcp)), 'HF_CONFIG_ARCHITECTURE', '4:1', /"prim", which a light module never has: write "both"/);
    refuses(() => parse(light('<errd><proc name="app"/></errd>')), 'HF_CONFIG_ARCHITECTURE', '3:1', /write "both"/);
  });

  it('warns of what belongs to roles', () => {
    const { warnings } = parse('<safe>\n<service mode="light" failover="off"><user/></service></safe>');
    assert.deepEqual(warnings.length, 1);
    assert.match(warnings[0] ?? '', /:2:23: failover has no effect: a light module has no primary/);
  });
});

describe('a farm module', () => {
  it('has defaults for rhythm, ports and the group', () => {
    const { configuration } = parse(farm(''), { id: 2, cluster: clusterOf(3) });
    assert.deepEqual(configuration.farm, {
      ports: [4806, 4807, 4808],
      pulseMs: 100,
      leaderTimeoutMs: 2000,
      memberTimeoutMs: 1000,
      lans: ['default'],
      groups: [{ name: 'FarmProto', powers: {} }],
    });
  });

  it('uses as many ports as its nodes need, and modules do not meet', () => {
    const portsOf = (id: number, nodes: number): readonly number[] =>
      parse(farm(''), { id, cluster: clusterOf(nodes) }).configuration.farm?.ports ?? [];
    assert.deepEqual(portsOf(1, 2), [4803]);
    assert.deepEqual(portsOf(1, 4), [4803, 4804, 4805]);
    assert.deepEqual(portsOf(1, 8), [4803, 4804, 4805, 4806, 4807, 4808, 4809]);
    assert.equal(portsOf(2, 8)[0], 4810);
    assert.deepEqual(parse(farm('', ' port="5000"'), { cluster: clusterOf(3) }).configuration.farm?.ports, [5000, 5001, 5002]);
  });

  it('takes the power of the nodes, and refuses one that is no whole number', () => {
    const group = (power: string): string => farm(`\n<group name="web"><host name="n1" power="${power}"/></group>`);
    assert.deepEqual(parse(group('0'), { cluster: clusterOf(2) }).configuration.farm?.groups, [{ name: 'web', powers: { n1: 0 } }]);
    for (const power of ['1.5', 'much', '']) {
      refuses(() => parse(group(power), { cluster: clusterOf(2) }), 'HF_CONFIG_VALUE', '4:35', /power=.* must be a whole number/);
    }
    refuses(() => parse(group('-1'), { cluster: clusterOf(2) }), 'HF_CONFIG_VALUE_RANGE', '4:35', /power/);
  });

  it('refuses a group that nobody would serve, strangers and doubles in it', () => {
    const group =
      (hosts: string): (() => unknown) =>
      () =>
        parse(farm(`\n<group name="web">${hosts}</group>`), { cluster: clusterOf(2) });
    const none = '<host name="n1" power="0"/><host name="n2" power="0"/>';
    refuses(group(none), 'HF_CONFIG_CONSTRAINT', '4:1', /nobody would serve it/);
    refuses(group('<host name="n3"/>'), 'HF_CONFIG_NODE_UNKNOWN', '4:25', /"n3"/);
    refuses(group('<host name="n1"/><host name="n1"/>'), 'HF_CONFIG_NAME_DUPLICATE', '4:42', /twice/);
    const twice = farm('\n<group name="a"/><group name="a"/>');
    refuses(() => parse(twice, { cluster: clusterOf(2) }), 'HF_CONFIG_NAME_DUPLICATE', '4:25', /two groups/);
  });

  it('refuses unknown networks, a leader that is given up first, and the port of the cluster', () => {
    const at = { cluster: clusterOf(3) };
    const lan = '<safe>\n<service mode="farm">\n<farm><lan name="defualt"/></farm></service></safe>';
    refuses(() => parse(lan, at), 'HF_CONFIG_LAN_UNKNOWN', '3:12', /did you mean "default"/);
    refuses(() => parse(farm('<lan name="default"/>'), at), 'HF_CONFIG_NAME_DUPLICATE', '3:33', /twice/);
    refuses(() => parse(farm('', ' mlost_count="7"'), at), 'HF_CONFIG_HEART_TIMING', '3:7', /less than slost_count 10/);
    refuses(() => parse(farm('', ' port="4798"'), at), 'HF_CONFIG_PORT_CONFLICT', '3:7', /4798 to 4800.*port of the cluster/);
    refuses(() => parse(farm('', ' port="65534"'), at), 'HF_CONFIG_PORT_CONFLICT', '3:7', /beyond the last port/);
  });

  it('needs <farm>, and two to eight nodes', () => {
    const bare = '<safe>\n<service mode="farm"><user/></service></safe>';
    refuses(() => parse(bare, { cluster: clusterOf(3) }), 'HF_CONFIG_FARM_MISSING', '2:1', /add <farm><lan name="default"\/><\/farm>/);
    refuses(() => parse(farm(''), { cluster: clusterOf(9) }), 'HF_CONFIG_FARM_NODES', '3:1', /2 to 8 nodes.*has 9/);
  });

  it('refuses heartbeats, replication, witnesses and addresses of a mirror', () => {
    const refused = (content: string, message: RegExp, column = 1): void => {
      const xml = `<safe><service mode="farm"><farm><lan name="default"/></farm>\n${content}</service></safe>`;
      refuses(() => parse(xml, { cluster: clusterOf(3) }), 'HF_CONFIG_ARCHITECTURE', `2:${column}`, message);
    };
    refused(HEART, /<heart> in a farm module: .* by <farm>/);
    refused('<rfs><replicated dir="/a"/></rfs>', /nothing is replicated/);
    refused('<witness/>', /needs no witness/);
    const address =
      '<interface_list><interface><real_interface><virtual_addr addr="192.0.2.9"/></real_interface></interface></interface_list>';
    refused(`<vip>${address}</vip>`, /no installed driver shares one/, 6);
  });

  it('is told from a mirror: <farm> is refused there', () => {
    const xml = mirror('<farm><lan name="default"/></farm>');
    refuses(() => parse(xml), 'HF_CONFIG_ARCHITECTURE', '3:1', /<farm> in a mirror module: .*mode="farm"/);
  });
});
