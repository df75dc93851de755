/** The relation between the heartbeat timeout and the lifetime of virtual addresses: an address must be gone before the peer takes it. */
import { ADDRESS_DELAY_MS, addressLifetimeMs, addressOutlivesMs, leaseTimeoutMsMin } from '../model/address-lifetime.js';
import type { HeartConfiguration } from '../model/configuration.js';
import type { ProblemList } from './problems.js';
import type { XmlElement } from './xml.js';

/** @param overlap what `<vip overlap="…">` says: `accept` makes a warning of the error */
export function checkLease(heart: HeartConfiguration, element: XmlElement, overlap: 'refuse' | 'accept', problems: ProblemList): void {
  const { timeoutMs, pulseMs } = heart;
  const outlivesMs = addressOutlivesMs(timeoutMs, pulseMs);
  if (outlivesMs < timeoutMs) return;
  const at = element.attributes.get('timeout') ?? element.attributes.get('pulse') ?? element;
  const sum = `lifetime ${addressLifetimeMs(timeoutMs)} ms + ${ADDRESS_DELAY_MS} ms until the kernel removes it + pulse ${pulseMs} ms`;
  const relation = `a virtual address may outlive a killed agent by ${outlivesMs} ms (${sum})`;
  const message = `${relation}, but the peer takes it ${timeoutMs} ms after the last heartbeat: both nodes would answer for it`;
  if (overlap === 'accept') problems.warn(at, `${message}; accepted by <vip overlap="accept">`);
  else {
    const cure = `set timeout to at least ${leaseTimeoutMsMin(pulseMs)}ms, or write <vip overlap="accept">`;
    problems.add('HF_CONFIG_ADDRESS_LEASE', at, `${message}; ${cure}`);
  }
}
