/** Real etcd members on the loopback network, each with its own folder; they can be killed and started again. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { ElementValue, Log, StrongWitness, WitnessProvider } from '@holdfast/sdk';
import { plugin } from '../src/index.js';

const run = promisify(execFile);
const START_LIMIT_MS = 20_000;

const nothing = (): void => undefined;
const silent: Log = { debug: nothing, info: nothing, warn: nothing, error: nothing };

function provider(): WitnessProvider {
  let found: WitnessProvider | undefined;
  const refuse = (): never => assert.fail('registers a witness only');
  plugin.register({
    heartbeatTransport: refuse,
    virtualIpDriver: refuse,
    replicationBackend: refuse,
    checker: refuse,
    witness: (type, implementation) => {
      assert.equal(type, 'etcd');
      found = implementation;
    },
  });
  assert.ok(found);
  return found;
}

export function witnessOf(configuration: ElementValue, module = 'm', cluster = 'site'): StrongWitness {
  const witness = provider().create({
    cluster,
    module,
    localNode: 'north',
    configurationDirectory: '/nonexistent',
    configuration,
    log: silent,
  });
  assert.ok(witness.grade === 'strong');
  return witness;
}

interface Member {
  readonly name: string;
  readonly clientUrl: string;
  readonly peerUrl: string;
  process?: ChildProcess;
}

export interface Certificates {
  readonly ca: string;
  readonly serverCert: string;
  readonly serverKey: string;
  readonly clientCert: string;
  readonly clientKey: string;
}

export class EtcdCluster {
  private constructor(
    readonly root: string,
    private readonly members: readonly Member[],
    private readonly certificates: Certificates | undefined,
  ) {}

  static async start(size: 1 | 3, options: { readonly tls?: boolean } = {}): Promise<EtcdCluster> {
    const root = await mkdtemp(join(tmpdir(), 'holdfast-etcd-'));
    const certificates = options.tls === true ? await makeCertificates(root) : undefined;
    const scheme = certificates === undefined ? 'http' : 'https';
    const ports = await freePorts(size * 2);
    const members = Array.from(
      { length: size },
      (_, index): Member => ({
        name: `m${index}`,
        clientUrl: `${scheme}://127.0.0.1:${ports[index * 2] ?? 0}`,
        peerUrl: `http://127.0.0.1:${ports[index * 2 + 1] ?? 0}`,
      }),
    );
    const cluster = new EtcdCluster(root, members, certificates);
    try {
      for (let index = 0; index < size; index += 1) cluster.startMember(index);
      await cluster.healthy();
      return cluster;
    } catch (error) {
      await cluster.remove();
      throw error;
    }
  }

  get endpoints(): string {
    return this.members.map(({ clientUrl }) => clientUrl).join(' ');
  }

  get tls(): Certificates {
    assert.ok(this.certificates);
    return this.certificates;
  }

  endpoint(index: number): string {
    return this.members[index]?.clientUrl ?? '';
  }

  startMember(index: number): void {
    const member = this.members[index];
    assert.ok(member);
    const { name, clientUrl, peerUrl } = member;
    const everybody = this.members.map((each) => `${each.name}=${each.peerUrl}`).join(',');
    const words = [
      '--name',
      name,
      '--data-dir',
      join(this.root, name),
      '--listen-client-urls',
      clientUrl,
      '--advertise-client-urls',
      clientUrl,
    ];
    words.push(
      '--listen-peer-urls',
      peerUrl,
      '--initial-advertise-peer-urls',
      peerUrl,
      '--initial-cluster',
      everybody,
      '--log-level',
      'error',
    );
    if (this.certificates !== undefined) {
      const { ca, serverCert, serverKey } = this.certificates;
      words.push('--cert-file', serverCert, '--key-file', serverKey, '--trusted-ca-file', ca, '--client-cert-auth');
    }
    member.process = spawn('etcd', words, { stdio: 'ignore', env: { PATH: process.env['PATH'], ETCD_UNSUPPORTED_ARCH: process.arch } });
  }

  async stopMember(index: number, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.members[index]?.process;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGCONT');
    child.kill(signal);
    await ended;
  }

  /** Neither answers nor closes its connections. */
  pause(index: number): void {
    this.members[index]?.process?.kill('SIGSTOP');
  }

  resume(index: number): void {
    this.members[index]?.process?.kill('SIGCONT');
  }

  async healthy(): Promise<void> {
    const deadline = performance.now() + START_LIMIT_MS;
    for (;;) {
      const outcome = await this.ctl('endpoint', 'health').then(
        () => undefined,
        (error: unknown) => error,
      );
      if (outcome === undefined) return;
      if (performance.now() > deadline) throw outcome as Error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  /** Index of the leader. */
  async leader(): Promise<number> {
    const { stdout } = await this.ctl('endpoint', 'status', '--write-out', 'json');
    const states = JSON.parse(stdout) as readonly {
      readonly Status: { readonly leader: number; readonly header: { readonly member_id: number } };
    }[];
    return states.findIndex(({ Status }) => Status.leader === Status.header.member_id);
  }

  ctl(...words: readonly string[]): Promise<{ stdout: string }> {
    const secrets =
      this.certificates === undefined ? [] : ['--cacert', this.tls.ca, '--cert', this.tls.clientCert, '--key', this.tls.clientKey];
    const options = ['--endpoints', this.members.map(({ clientUrl }) => clientUrl).join(','), '--command-timeout', '3s', ...secrets];
    return run('etcdctl', [...options, ...words], { env: { PATH: process.env['PATH'], ETCDCTL_API: '3' }, timeout: 10_000 });
  }

  async remove(): Promise<void> {
    await Promise.all(this.members.map((_, index) => this.stopMember(index)));
    await rm(this.root, { recursive: true, force: true });
  }
}

async function freePorts(count: number): Promise<readonly number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  for (const server of servers) server.close();
  return ports;
}

/** An authority, a certificate for the members and one for the nodes. */
async function makeCertificates(root: string): Promise<Certificates> {
  const file = (name: string): string => join(root, name);
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const openssl = (...words: readonly string[]) => run('openssl', words);
  await openssl('req', '-x509', ...curve, '-keyout', file('ca.key'), '-out', file('ca.pem'), '-subj', '/CN=test authority');
  for (const [name, usage] of [['server', 'serverAuth,clientAuth'] as const, ['client', 'clientAuth'] as const]) {
    await openssl('req', ...curve, '-keyout', file(`${name}.key`), '-out', file(`${name}.csr`), '-subj', `/CN=${name}`);
    await writeFile(file(`${name}.ext`), `subjectAltName=IP:127.0.0.1\nextendedKeyUsage=${usage}\n`);
    const signing = ['-CA', file('ca.pem'), '-CAkey', file('ca.key'), '-CAcreateserial', '-extfile', file(`${name}.ext`)];
    await openssl('x509', '-req', '-in', file(`${name}.csr`), ...signing, '-out', file(`${name}.pem`));
  }
  return {
    ca: file('ca.pem'),
    serverCert: file('server.pem'),
    serverKey: file('server.key'),
    clientCert: file('client.pem'),
    clientKey: file('client.key'),
  };
}
