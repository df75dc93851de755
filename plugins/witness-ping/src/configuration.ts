/**
 * The elements, already validated against their schemas:
 *
 *     <witness><ping timeout="1s"><to addr="10.0.0.1"/><to addr="fd00::1"/></ping></witness>
 *     <check><splitbrain ident="witness" exec="ping" arg="10.0.0.1 fd00::1"/></check>
 */
import { type ElementValue, HoldfastError } from '@holdfast/sdk';
import { isIP } from 'node:net';

export interface PingConfiguration {
  /** IP literals, each once. */
  readonly addresses: readonly string[];
  readonly timeoutMs: number;
}

const TIMEOUT_MS_DEFAULT = 1_000;

/** @throws HoldfastError HF_WITNESS_CONFIGURATION when the element was not validated */
export function readConfiguration(element: ElementValue): PingConfiguration {
  const { to, arg } = element;
  const written = Array.isArray(to)
    ? (to as readonly ElementValue[]).map(({ addr }) => addr)
    : (typeof arg === 'string' ? arg : '').split(/\s+/);
  const addresses = [...new Set(written.map(String).filter((address) => address !== ''))];
  const timeoutMs = element['timeout'] ?? TIMEOUT_MS_DEFAULT;
  if (addresses.length === 0 || !addresses.every((address) => isIP(address) !== 0) || typeof timeoutMs !== 'number') {
    const message = `the element does not have the shape of its schema: ${JSON.stringify(element)}`;
    throw new HoldfastError('HF_WITNESS_CONFIGURATION', message, { element });
  }
  return { addresses, timeoutMs };
}
