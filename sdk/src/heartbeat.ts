/**
 * Heartbeats: how one node learns that the other lives. A transport moves opaque, small payloads as best-effort datagrams over every
 * link at a fixed pulse from a process of its own, so that a busy agent does not look like a dead node; each frame carries the age of
 * the agent's last tick, so that "alive but stuck" is seen too. Whether a peer is lost is decided by the core, never by the transport.
 */

/** Largest payload a transport must carry, in bytes. */
export const HEARTBEAT_PAYLOAD_BYTES_MAX = 8192;

export interface HeartbeatLink {
  /** Name of the network, as in cluster.xml, for example `default`. */
  readonly name: string;
  /** IP literal to bind. */
  readonly localAddress: string;
  /** IP literal to send to. */
  readonly peerAddress: string;
  /** UDP port on both sides. */
  readonly port: number;
}

export interface HeartbeatOptions {
  readonly module: string;
  readonly localNode: string;
  readonly peerNode: string;
  readonly links: readonly HeartbeatLink[];
  /** 32 bytes, shared by the nodes of the cluster; keys of the session are derived from it. */
  readonly key: Uint8Array;
  readonly pulseMs: number;
}

export interface ReceivedHeartbeat {
  readonly link: string;
  /** Receive time on this node's monotonic clock, milliseconds, taken as close to the wire as possible. */
  readonly receivedMs: number;
  /** Age of the peer agent's last tick when its transport sent the frame, milliseconds. */
  readonly agentTickAgeMs: number;
  /** The peer said that it leaves: it will send nothing more. */
  readonly goodbye: boolean;
  readonly payload: Uint8Array;
}

export interface HeartbeatSession {
  /** Replaces the payload sent at every pulse, and sends it at once on every link. Best-effort: never blocks, never retries. */
  publish(payload: Uint8Array): void;
  /** The agent's decision loop is alive now. */
  tick(): void;
  onHeartbeat(listener: (heartbeat: ReceivedHeartbeat) => void): void;
  /** The sending process is gone or refuses to work (coded error); the core treats every link as down until reopened. */
  onFailure(listener: (error: Error) => void): void;
  /** Frames refused since open: garbage, wrong key, replayed, too old. */
  rejected(): number;
  /** Sends a goodbye on every link a few times, then closes. Idempotent. */
  close(options: { goodbye: boolean }): Promise<void>;
}

export interface HeartbeatTransport {
  /** @throws HoldfastError when an address or port cannot be bound: message names link, address and port. */
  open(options: HeartbeatOptions): Promise<HeartbeatSession>;
}
