/**
 * What `tcpreset` asks for: the clients of an address that is about to leave learn it at once, instead of waiting for answers that never
 * come. Must be done while the address is here, because the reset leaves from it; a connection that is made meanwhile is reset as well.
 * Bounded, and never in the way of the release.
 */
import { setImmediate } from 'node:timers/promises';
import { HoldfastError, messageOf } from '@holdfast/sdk';
import type { IpAddress } from './ip-address.js';
import { ERRNO, SystemCallFailed } from './libc.js';
import { TcpConnections } from './tcp-connections.js';

/** What is not reset within that time stays as it is without `tcpreset`. */
const RESET_MS_MAX = 1000;
/** The event loop gets its turn at least so often. */
const SLICE_MS = 10;

export interface ResetOutcome {
  readonly reset: number;
  /** Not reset: the time was over, or something failed. */
  readonly left: number;
  /** Why not all could be reset. */
  readonly problem?: HoldfastError;
}

type Connections = Pick<TcpConnections, 'of' | 'reset' | 'close'>;

/**
 * @param open for tests of kernels that cannot do it
 * @returns what was done; never throws
 */
export async function resetConnections(
  addresses: readonly IpAddress[],
  signal: AbortSignal,
  open: () => Connections = () => new TcpConnections(),
): Promise<ResetOutcome> {
  let connections: Connections | undefined;
  const counts = { reset: 0, left: 0 };
  try {
    connections = open();
    await resetAll(connections, addresses, signal, counts);
    return counts.left === 0 ? counts : { ...counts, problem: outOfTime(counts.left) };
  } catch (error) {
    return { ...counts, problem: failed(error) };
  } finally {
    void connections?.close();
  }
}

async function resetAll(
  connections: Connections,
  addresses: readonly IpAddress[],
  signal: AbortSignal,
  counts: { reset: number; left: number },
): Promise<void> {
  const endsAtMs = performance.now() + RESET_MS_MAX;
  const tried = new Set<string>();
  for (;;) {
    const found = addresses.flatMap((address) => connections.of(address)).filter(({ id }) => !tried.has(id.toString('latin1')));
    counts.left = found.length;
    // Nothing waits between this and the removal of the address: no time for a connection in between.
    if (found.length === 0) return;
    let sliceEndsAtMs = performance.now() + SLICE_MS;
    for (const connection of found) {
      if (performance.now() >= sliceEndsAtMs) {
        await setImmediate();
        sliceEndsAtMs = performance.now() + SLICE_MS;
      }
      if (performance.now() >= endsAtMs || signal.aborted) return;
      tried.add(connection.id.toString('latin1'));
      if (connections.reset(connection)) counts.reset += 1;
      counts.left -= 1;
    }
  }
}

function outOfTime(left: number): HoldfastError {
  const message = `${left} TCP connections were not reset within ${RESET_MS_MAX} ms; their clients wait`;
  return new HoldfastError('HF_VIP_RESET_TIME', message, { left });
}

function failed(error: unknown): HoldfastError {
  const missing: readonly number[] = [ERRNO.EOPNOTSUPP, ERRNO.EPROTONOSUPPORT, ERRNO.ENOENT];
  if (error instanceof SystemCallFailed && missing.includes(error.errno)) {
    const cause = 'this kernel cannot reset the TCP connections of a process (CONFIG_INET_DIAG_DESTROY, module tcp_diag)';
    const message = `${cause}: clients of the address wait until they give up, as with tcpreset="off"`;
    return new HoldfastError('HF_VIP_RESET_UNSUPPORTED', message, { errno: error.errnoName });
  }
  const message = `TCP connections of the address could not be reset: ${messageOf(error)}; their clients wait`;
  return new HoldfastError('HF_VIP_RESET_FAILED', message);
}
