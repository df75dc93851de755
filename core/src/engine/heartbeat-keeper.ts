/**
 * A heartbeat session that is opened again when it fails: its sending process may be killed, and a node that stops sending looks dead to
 * its peer. Between failure and reopening nothing is sent and nothing heard, which the failure detector sees as silence, as it should.
 */
import type { HeartbeatOptions, HeartbeatSession, HeartbeatTransport, ReceivedHeartbeat } from '@holdfast/sdk';
import { messageOf } from '@holdfast/sdk';

const REOPEN_MS = 250;
const REOPEN_MS_MAX = 5000;

export class HeartbeatKeeper implements HeartbeatSession {
  private readonly heartbeatListeners: ((heartbeat: ReceivedHeartbeat) => void)[] = [];
  private readonly failureListeners: ((error: Error) => void)[] = [];
  private payload: Uint8Array | undefined;
  private rejectedBefore = 0;
  private closed = false;
  private timer: NodeJS.Timeout | undefined;
  private session: HeartbeatSession | undefined;

  private constructor(
    private readonly transport: HeartbeatTransport,
    private options: HeartbeatOptions,
  ) {}

  /** @throws what the transport throws at the first opening: a wrong address is a configuration error, not a failure to ride out. */
  static async open(transport: HeartbeatTransport, options: HeartbeatOptions): Promise<HeartbeatKeeper> {
    const keeper = new HeartbeatKeeper(transport, options);
    keeper.adopt(await transport.open(options));
    return keeper;
  }

  private adopt(session: HeartbeatSession): void {
    this.session = session;
    session.onHeartbeat((heartbeat) => {
      if (this.session === session) for (const listener of this.heartbeatListeners) listener(heartbeat);
    });
    session.onFailure((error) => {
      if (this.session === session) this.replace(session, error);
    });
    if (this.payload !== undefined) session.publish(this.payload);
  }

  private replace(failed: HeartbeatSession, error: Error): void {
    this.session = undefined;
    this.rejectedBefore += failed.rejected();
    for (const listener of this.failureListeners) listener(error);
    failed.close({ goodbye: false }).catch(() => undefined);
    this.reopenIn(REOPEN_MS);
  }

  /** Another pulse for a session that is open: it is closed without a goodbye and opened again, which the peer does not notice. */
  async repulse(pulseMs: number): Promise<void> {
    this.options = { ...this.options, pulseMs };
    const { session } = this;
    // One that failed is being opened again already, with the new pulse.
    if (session === undefined || this.closed) return;
    this.session = undefined;
    this.rejectedBefore += session.rejected();
    await session.close({ goodbye: false });
    this.reopenIn(0);
  }

  private reopenIn(delayMs: number): void {
    if (this.closed) return;
    this.timer = setTimeout(() => {
      this.transport.open(this.options).then(
        (session) => {
          if (this.closed) void session.close({ goodbye: false });
          else this.adopt(session);
        },
        (error: unknown) => {
          for (const listener of this.failureListeners) listener(error instanceof Error ? error : new Error(messageOf(error)));
          this.reopenIn(Math.min(delayMs * 2, REOPEN_MS_MAX));
        },
      );
    }, delayMs);
  }

  publish(payload: Uint8Array): void {
    this.payload = payload;
    this.session?.publish(payload);
  }

  tick(): void {
    this.session?.tick();
  }

  onHeartbeat(listener: (heartbeat: ReceivedHeartbeat) => void): void {
    this.heartbeatListeners.push(listener);
  }

  onFailure(listener: (error: Error) => void): void {
    this.failureListeners.push(listener);
  }

  rejected(): number {
    return this.rejectedBefore + (this.session?.rejected() ?? 0);
  }

  async close(options: { goodbye: boolean }): Promise<void> {
    this.closed = true;
    clearTimeout(this.timer);
    await this.session?.close(options);
  }
}
