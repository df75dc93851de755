/**
 * TLS 1.3 between the nodes of a cluster, authenticated by the cluster key instead of certificates: nothing expires and nothing has to be
 * signed, and a node without the key cannot even finish the handshake. The identity that a node presents is its name, and only names of
 * the cluster's other nodes are known. Forward secret: TLS 1.3 adds an ephemeral key exchange to the pre-shared key.
 */
import { hkdfSync } from 'node:crypto';
import type { RequestOptions, ServerOptions } from 'node:https';
import type { Socket } from 'node:net';
import type { ConnectionOptions } from 'node:tls';
import { HoldfastError } from '@holdfast/sdk';

const CLUSTER_KEY_BYTES = 32;
const HANDSHAKE_TIMEOUT_MS = 5_000;
/** The pre-shared key's hash is SHA-256, which this suite has; other suites cannot be negotiated with it. */
const CIPHERS = 'TLS_AES_128_GCM_SHA256';

export interface PeerNode {
  readonly name: string;
  readonly address: string;
}

export interface PeerOptions {
  /** Address of this node's peer listener. */
  readonly address: string;
  /** The same on every node. */
  readonly port: number;
  readonly localNode: string;
  /** 32 bytes, shared by the nodes of the cluster. */
  readonly clusterKey: Uint8Array;
  /** The other nodes. */
  readonly peers: readonly PeerNode[];
}

export function peerPreSharedKey(clusterKey: Uint8Array): Buffer {
  if (clusterKey.byteLength !== CLUSTER_KEY_BYTES) {
    throw new HoldfastError(
      'HF_CLUSTER_KEY_INVALID',
      `the cluster key has ${clusterKey.byteLength} bytes instead of ${CLUSTER_KEY_BYTES}; was cluster.key copied whole?`,
    );
  }
  return Buffer.from(hkdfSync('sha256', clusterKey, new Uint8Array(0), 'holdfast api', 32));
}

/** The server's side: remembers which node each connection belongs to. */
export class PeerAuthenticator {
  private readonly identities = new WeakMap<Socket, string>();
  private readonly names: ReadonlySet<string>;
  private readonly key: Buffer;

  constructor(options: PeerOptions) {
    this.names = new Set(options.peers.map((peer) => peer.name));
    this.key = peerPreSharedKey(options.clusterKey);
  }

  serverOptions(): ServerOptions {
    return {
      minVersion: 'TLSv1.3',
      maxVersion: 'TLSv1.3',
      ciphers: CIPHERS,
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      pskCallback: (socket, identity) => {
        if (!this.names.has(identity)) return null;
        this.identities.set(socket, identity);
        return this.key;
      },
    };
  }

  /**
   * Name of the node at the other end; undefined: not authenticated. A resumed session asks for no key and so has no identity: refused.
   */
  identityOf(socket: Socket): string | undefined {
    return this.identities.get(socket);
  }
}

/**
 * The client's side: TLS options of a request to another node. The key authenticates the server too. A server without it could offer a
 * certificate instead, and any that the machine trusts would do: so no authority is trusted.
 */
export function peerRequestOptions(options: PeerOptions, key: Buffer): RequestOptions & Pick<ConnectionOptions, 'pskCallback'> {
  return {
    agent: false,
    minVersion: 'TLSv1.3',
    maxVersion: 'TLSv1.3',
    ciphers: CIPHERS,
    pskCallback: () => ({ psk: key, identity: options.localNode }),
    checkServerIdentity: () => undefined,
    ca: [],
  };
}
