/** The examples for load balancers: complete files are judged by the programs that they are for. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { MemoryAgent } from '../../core/test/api-memory-agent.js';
import { BALANCERS, balancedModule } from '../src/balancer-examples/index.js';
import type { VirtualAddressView } from '../src/core.js';
import { CommandLine, loadMemoryAgents } from './command-line.js';

const NODES = [
  { name: 'node1', addresses: ['10.60.1.11', '10.70.1.11'] },
  { name: 'node2', addresses: ['10.60.2.12', '10.70.1.12'] },
];
const NODES_IPV6 = [
  { name: 'node1', addresses: ['fd60:1::11'] },
  { name: 'node2', addresses: ['fd60:2::12'] },
];
const LOADBALANCER = { type: 'loadbalancer', element: 'loadbalancer' };
const PORTS = { port: '8080,8443', tcpreset: true };
const HTTPS = { proto: 'https', port: 9443, cert: '/c', key: '/k' };

type Value = VirtualAddressView['elements'][number]['value'];

describe('holdfast vip example', function () {
  this.timeout(30_000);
  let first: MemoryAgent;
  let second: MemoryAgent;
  let cli: CommandLine;
  let folder: string;

  beforeEach(async () => {
    ({ first, second } = await (await loadMemoryAgents()).startMemoryPair());
    cli = await CommandLine.create(first.baseUrl, first.token);
    folder = mkdtempSync(join(tmpdir(), 'holdfast-example-'));
    first.service.addModule('shop');
    first.service.nodeAddresses = NODES;
    first.service.addressElements = [{ ...LOADBALANCER, value: PORTS }];
  });
  afterEach(async () => {
    rmSync(folder, { recursive: true });
    await Promise.all([first.close(), second.close(), cli.remove()]);
  });

  /** Without a process of its own. */
  function exampleOf(balancer: string, nodes: VirtualAddressView['nodes'] = NODES, value: Value = PORTS): string {
    return BALANCERS[balancer]?.(balancedModule({ module: 'shop', nodes, elements: [{ ...LOADBALANCER, value }] })).text ?? '';
  }

  function file(text: string): string {
    const path = join(folder, 'example.conf');
    writeFileSync(path, text);
    return path;
  }

  /** What haproxy has against a file; warnings count. */
  function judgeHaproxy(text: string): void {
    execFileSync('haproxy', ['-c', '-dW', '-f', file(text)], { stdio: ['ignore', 'pipe', 'pipe'] });
  }

  it('for haproxy is one that haproxy accepts without a warning, with the addresses, ports and probe of this cluster', async () => {
    const { code, stdout: text, stderr } = await cli.run('vip', 'example', '-m', 'shop', '--for', 'haproxy');
    assert.equal(code, 0, stderr);
    judgeHaproxy(text);
    for (const line of [
      /^ +option httpchk GET \/var\/modules\/shop\/ready\.txt$/m,
      /^ +http-check expect status 200$/m,
      /^ +default-server check port 9010 inter .* fall 2 rise 1 on-marked-down shutdown-sessions$/m,
      /^ +timeout connect 250ms$/m,
      /^ +retries 2$/m,
      /^ +option redispatch 1$/m,
      /^ +server node1 10\.60\.1\.11:8443$/m,
      /^ +server node2 10\.60\.2\.12:8080$/m,
    ])
      assert.match(text, line);
    assert.doesNotMatch(text, /10\.70\./, 'the first network is the one of the clients');
  });

  it('for haproxy follows addresses of the balancer, IPv6, and each kind of probe', () => {
    for (const probe of [HTTPS, { proto: 'tcp', port: 9011 }]) {
      const value = { port: '5432', virtual_addr: [{ addr: 'fd60::100' }, { addr: '10.60.0.100' }], probe: [probe] };
      const text = exampleOf('haproxy', NODES_IPV6, value);
      judgeHaproxy(text);
      assert.match(text, /bind \[fd60::100\]:5432\n +bind 10\.60\.0\.100:5432/);
      assert.match(text, /server node2 \[fd60:2::12\]:5432/);
      assert.match(text, new RegExp(`check port ${probe.port}${probe.proto === 'https' ? ' check-ssl verify none' : ''} inter`));
      assert.equal(/option httpchk/.test(text), probe.proto === 'https');
    }
  });

  it('for nginx is one that nginx accepts, and says that open nginx asks no probe', () => {
    for (const nodes of [NODES, NODES_IPV6]) {
      const text = exampleOf('nginx', nodes);
      assert.match(text, /no active health checks/);
      const head = `pid ${join(folder, 'pid')};\nerror_log stderr;\ninclude /etc/nginx/modules-enabled/*.conf;\nevents {}\n`;
      execFileSync('nginx', ['-t', '-q', '-e', 'stderr', '-c', file(head + text)], { stdio: ['ignore', 'pipe', 'pipe'] });
    }
  });

  it('for clouds and devices has every node, port and the probe, and says that it was not tried', () => {
    for (const balancer of ['azure', 'aws', 'gcp', 'f5']) {
      const text = exampleOf(balancer);
      assert.match(text, /not yet tried on the real (cloud|device)/, balancer);
      for (const part of ['8080', '8443', '9010', '/var/modules/shop/ready.txt']) assert(text.includes(part), `${balancer}: ${part}`);
      const named = balancer === 'gcp' ? NODES.map(({ name }) => name) : NODES.map(({ addresses }) => addresses[0] ?? '');
      for (const node of named) assert(text.includes(node), `${balancer}: ${node}`);
    }
  });

  it('is one document with --json', async () => {
    const { stdout } = await cli.run('vip', 'example', '-m', 'shop', '--for', 'aws', '--json');
    const { text, ...rest } = JSON.parse(stdout) as { text: string };
    assert.deepEqual(rest, {
      module: 'shop',
      for: 'aws',
      tried: false,
      nodes: NODES.map(({ name, addresses }) => ({ name, address: addresses[0] })),
      ports: [8080, 8443],
      addresses: [],
      probe: { protocol: 'http', port: 9010, path: '/var/modules/shop/ready.txt' },
    });
    assert.match(text, /aws elbv2 create-target-group/);
  });

  it('is none for a module without the element or without its ports, or for a balancer that is not known', async () => {
    for (const [elements, pattern] of [
      [[], /has no <loadbalancer> in <vip>/],
      [[{ ...LOADBALANCER, value: { tcpreset: true } }], /names no service port/],
    ] as const) {
      first.service.addressElements = elements;
      const { code, stderr } = await cli.run('vip', 'example', '-m', 'shop', '--for', 'haproxy');
      assert.equal(code, 1);
      assert.match(stderr, pattern);
      assert.match(stderr, /HF_CLI_NO_BALANCER/);
    }
    const { code, stderr } = await cli.run('vip', 'example', '-m', 'shop', '--for', 'bigip');
    assert.equal(code, 1);
    for (const name of Object.keys(BALANCERS)) assert(stderr.includes(name), name);
  });
});
