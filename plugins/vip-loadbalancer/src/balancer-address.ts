/**
 * The address of a load balancer, as one node holds it: held means that the balancer may send clients here. Three things follow from one
 * wish, and in this order. To serve: the service ports are opened, then the probe says so. Not to serve any more: the probe says so, then
 * the ports are refused, then (released) the connections that are left are ended. Like an address in the kernel it has a lifetime, that
 * `renew` prolongs and never brings back: a node that slept must not take the clients back from the one that took over.
 */
import { networkInterfaces } from 'node:os';
import {
  type AddressState,
  type AddressStatus,
  HoldfastError,
  messageOf,
  type Readiness,
  type VirtualIp,
  type VirtualIpOptions,
} from '@holdfast/sdk';
import type { BalancerSettings } from './configuration.js';
import { Connections } from './connections.js';
import type { Verdict } from './http-probe.js';
import type { ProbePort, ProbePorts } from './probe-ports.js';
import { Refusal, type RefusalScope } from './refusal.js';
import { TcpProbe } from './tcp-probe.js';

/** How often the lifetime is looked at, and what failed is tried again. */
const LOOKS_PER_LIFETIME = 4;
/** How often addresses of the node, and the rules in the kernel, are compared with what is wanted. */
const COMPARE_MS = 5000;
/** Longer than any balancer waits between two probes by default (30 s, and 15 s). */
const UNPROBED_MS = 60_000;

export class BalancerAddress implements VirtualIp {
  private readonly refusal: Refusal;
  private readonly connections: Connections;
  private readonly tcpProbes: readonly TcpProbe[];
  private readonly httpPorts: ProbePort[] = [];
  private acquired = false;
  private told: Readiness = { isReady: false, detail: 'the agent has just started' };
  private renewedAtMs = -Infinity;
  /** What the kernel refuses; undefined: that is not known. */
  private scope: RefusalScope | undefined;
  private hasRefused = false;
  private tcpOpen = false;
  private failure: string | undefined;
  private working: Promise<unknown> = Promise.resolve();
  private isWorkPlanned = false;
  private comparedAtMs = -Infinity;
  private askedAtMs = performance.now();
  private unprobedSaid = false;
  private watch: NodeJS.Timeout | undefined;
  private closed = false;

  constructor(
    private readonly settings: BalancerSettings,
    private readonly options: VirtualIpOptions,
    private readonly ports: ProbePorts,
  ) {
    const { module, peerAddresses = [], log } = options;
    this.refusal = new Refusal({ module, ports: settings.ports, peers: peerAddresses });
    this.connections = new Connections(settings.ports, () => [...ownAddresses(), ...peerAddresses], log);
    this.tcpProbes = settings.probes
      .filter(({ protocol }) => protocol === 'tcp')
      .map(({ port }) => new TcpProbe(port, settings.addresses, () => this.asked()));
  }

  /** @throws HoldfastError when a probe port is taken or the service ports cannot be refused */
  async open(): Promise<void> {
    const { addresses, probes } = this.settings;
    const probed = { module: this.options.module, addresses, verdict: () => this.answer() };
    for (const probe of probes) {
      if (probe.protocol !== 'tcp') this.httpPorts.push(await this.ports.join(probe, probed));
    }
    for (const probe of this.tcpProbes) await probe.examine();
    await this.settle();
    this.watch = setInterval(() => this.look(), Math.max(50, this.options.lifetimeMs / LOOKS_PER_LIFETIME)).unref();
  }

  /** Nobody can be asked: a balancer does not say whom it sends clients to. */
  async probe(signal: AbortSignal): Promise<readonly AddressStatus[]> {
    this.assertOpen();
    signal.throwIfAborted();
    return this.statuses(this.isHeld() ? 'held' : 'absent');
  }

  async acquire(signal: AbortSignal): Promise<void> {
    this.assertOpen();
    signal.throwIfAborted();
    await this.refreshPorts();
    if (!this.isHeld()) {
      this.askedAtMs = performance.now();
      // What was told before is about another time: the application is ready when that is said again.
      this.told = { ...this.told, isReady: false };
    }
    this.acquired = true;
    this.renewedAtMs = performance.now();
    await this.settle();
  }

  renew(): void {
    if (!this.acquired || this.closed) return;
    if (this.isHeld()) this.renewedAtMs = performance.now();
    else this.expired();
  }

  ready(readiness: Readiness): void {
    this.told = readiness;
    this.plan();
  }

  async verify(): Promise<readonly AddressStatus[]> {
    this.assertOpen();
    if (!this.isHeld()) {
      await this.compare();
      return this.statuses('absent');
    }
    if (performance.now() - this.comparedAtMs >= COMPARE_MS) await this.compare();
    return this.statuses(this.failure === undefined ? 'held' : 'unknown');
  }

  /** Done even when `signal` is aborted already: an address that stays is worse than a late stop. */
  async release(_signal: AbortSignal): Promise<void> {
    this.assertOpen();
    const wasAcquired = this.acquired;
    this.acquired = false;
    await this.settle();
    await this.resetConnections();
    if (wasAcquired) this.options.log.info('the load balancer is told to send nobody here any more', { ports: this.settings.ports });
  }

  /** No other host can claim what the balancer has. */
  onConflict(): void {
    // Nothing is ever reported.
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    this.acquired = false;
    clearInterval(this.watch);
    await this.working;
    for (const probe of this.tcpProbes) await probe.set(false);
    for (const port of this.httpPorts.splice(0)) await port.leave();
    // Of an agent that ends well: its application has ended, and nothing is left behind. One that was killed leaves the ports refused.
    if (this.hasRefused) {
      await this.refusal.set('none').catch((error: unknown) => {
        this.options.log.warn('the service ports stay refused', { table: this.refusal.table, error: messageOf(error) });
      });
    }
  }

  private answer(): Verdict {
    this.asked();
    const { module, localNode } = this.options;
    const why = this.obstacle();
    const text = why === undefined ? `${module} is ready on ${localNode}` : `${module} is not ready on ${localNode}: ${why}`;
    return { isReady: why === undefined, text };
  }

  private asked(): void {
    this.askedAtMs = performance.now();
    this.unprobedSaid = false;
  }

  /** Why no client may come; undefined: they may. */
  private obstacle(): string | undefined {
    if (this.acquired && !this.isHeld()) return `its agent has not decided anything for more than ${this.options.lifetimeMs} ms`;
    if (!this.wantsClients()) return this.told.detail;
    if (this.scope !== 'none') return this.failure ?? 'its ports are being opened';
    return undefined;
  }

  /** Taken, and prolonged in time. */
  private isHeld(): boolean {
    return this.acquired && performance.now() - this.renewedAtMs <= this.options.lifetimeMs;
  }

  private wantsClients(): boolean {
    return this.isHeld() && this.told.isReady;
  }

  private wantedScope(): RefusalScope {
    if (this.wantsClients()) return 'none';
    // The application that is being stopped ends its connections itself, as well as it can.
    return this.isHeld() && (this.scope === 'none' || this.scope === 'new') ? 'new' : 'all';
  }

  private isSettled(): boolean {
    return this.scope === this.wantedScope() && this.tcpOpen === (this.wantsClients() && this.tcpProbes.length > 0);
  }

  /** Does in the background what is to be done; what fails is tried again. */
  private plan(): void {
    if (this.closed || this.isWorkPlanned || this.failure !== undefined || this.isSettled()) return;
    this.isWorkPlanned = true;
    this.settle().catch((error: unknown) => {
      this.options.log.error('what the load balancer may reach here could not be changed', { error: messageOf(error) });
    });
  }

  /** One at a time. @throws HoldfastError what stands in the way */
  private settle(): Promise<void> {
    const work = this.working.then(async () => {
      this.isWorkPlanned = false;
      if (this.closed) return;
      try {
        // What is wanted may change while it is done.
        while (!this.isSettled()) await this.step();
        this.failure = undefined;
      } catch (error) {
        this.failure = messageOf(error);
        throw error;
      }
    });
    this.working = work.catch(() => undefined);
    return work;
  }

  private async step(): Promise<void> {
    const [scope, opens] = [this.wantedScope(), this.wantsClients()];
    if (!opens) await this.setTcp(false);
    if (this.scope !== scope) {
      this.scope = undefined;
      await this.refusal.set(scope);
      this.scope = scope;
      this.hasRefused = true;
    }
    if (opens && this.wantsClients()) await this.setTcp(true);
  }

  private async setTcp(isOpen: boolean): Promise<void> {
    if (this.tcpProbes.length === 0) return;
    for (const probe of this.tcpProbes) await probe.set(isOpen);
    this.tcpOpen = isOpen;
  }

  private look(): void {
    if (this.acquired && !this.isHeld()) this.expired();
    const nowMs = performance.now();
    if (nowMs - this.comparedAtMs >= COMPARE_MS) {
      void this.compare().catch((error: unknown) => {
        this.options.log.warn('what the kernel refuses could not be read', { error: messageOf(error) });
      });
    }
    if (!this.wantsClients() || this.unprobedSaid || nowMs - this.askedAtMs < UNPROBED_MS) return;
    this.unprobedSaid = true;
    const probes = this.settings.probes.map(({ protocol, port }) => `${protocol} ${port}`);
    this.options.log.warn('no load balancer has asked for a minute: is the probe port open, and configured there?', { probes });
  }

  private expired(): void {
    this.acquired = false;
    this.options.log.warn('the agent was late: clients are refused until the address is acquired again');
    void this.settle()
      .then(() => this.resetConnections())
      .catch((error: unknown) => {
        this.options.log.error('the service ports could not be refused', { error: messageOf(error) });
      });
  }

  /** Another program may have flushed the rules, and addresses come and go. */
  private async compare(): Promise<void> {
    this.comparedAtMs = performance.now();
    await this.refreshPorts();
    const work = this.working.then(async () => {
      if (this.scope === undefined || this.closed || (await this.refusal.holds())) return;
      this.options.log.warn('another program has changed the rules that refuse the service ports: they are set again', {
        table: this.refusal.table,
      });
      this.scope = undefined;
    });
    this.working = work.catch(() => undefined);
    await work;
    this.failure = undefined;
    await this.settle();
  }

  /** An address that came after the probe ports were opened, and whose port is taken, must not stop a takeover. */
  private async refreshPorts(): Promise<void> {
    for (const port of [...this.httpPorts, ...this.tcpProbes]) {
      await port.refresh().catch((error: unknown) => {
        this.options.log.error('an address of this node is not probed', { error: messageOf(error) });
      });
    }
  }

  private async resetConnections(): Promise<void> {
    if (!this.settings.resetsConnections) return;
    const ended = await this.connections.reset();
    if (ended > 0) this.options.log.info('connections to the service ports were ended', { connections: ended });
  }

  private statuses(state: AddressState): readonly AddressStatus[] {
    const place = `probe ${this.settings.probes.map(({ port }) => port).join(', ')}`;
    const { addresses } = this.settings;
    return (addresses.length === 0 ? ['loadbalancer'] : addresses).map((address) => ({ address, interface: place, state }));
  }

  private assertOpen(): void {
    if (this.closed) throw new HoldfastError('HF_VIP_CLOSED', 'this address was closed');
  }
}

function ownAddresses(): readonly string[] {
  return Object.values(networkInterfaces()).flatMap((found) => (found ?? []).map(({ address }) => address));
}
