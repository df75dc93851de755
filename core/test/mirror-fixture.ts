/** Settings of a mirror as tests of its decisions need them; each changes what it is about. */
import type { MirrorSettings } from '../src/decide/mirror/types.js';

export const MIRROR_SETTINGS: MirrorSettings = {
  module: 'm',
  node: 'n1',
  peer: 'n2',
  replicated: true,
  hasAddresses: false,
  failover: true,
  defaultPrimary: 'alone',
  maxLoop: 3,
  loopIntervalMs: 86_400_000,
  heartbeatTimeoutMs: 2000,
  swapLimitMs: 30_000,
  witness: 'none',
  undecidedLimitMs: 20_000,
  undecided: 'stop',
  claimDelayMs: 300,
  configuration: '',
};
