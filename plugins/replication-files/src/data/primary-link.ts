/** One attempt of a primary to have a peer: from the connection through the resync to the checkpoints of a connected pair. */
import type { DataConnector } from '../link/data-connection.js';
import type { ResyncSource } from '../resync/source.js';
import type { Checkpoint } from './checkpoint.js';
import type { PeerLink } from './peer-link.js';

export interface PrimaryLink {
  readonly number: number;
  readonly generation: string;
  /** Names the session, on both nodes. */
  readonly session: string;
  peer: PeerLink | undefined;
  connector: DataConnector | undefined;
  source: ResyncSource | undefined;
  checkpoint: Checkpoint | undefined;
  /** Live requests count from far above. */
  nextResyncSeq: number;
  /** A divergence is being repaired, in this way: the source starts when every answer in flight has come. */
  repairs: 'journal' | 'compare' | undefined;
}
