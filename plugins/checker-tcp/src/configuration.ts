/**
 * The element, already validated against schemas/tcp.json:
 *
 *     <tcp ident="web" when="prim" action="restart"><to addr="127.0.0.1" port="80" interval="10s" timeout="5s"/></tcp>
 */
import { type CheckAction, type CheckPhase, type ElementValue, HoldfastError } from '@holdfast/sdk';
import type { TcpCheckConfiguration } from './tcp-check.js';

const PHASES: readonly CheckPhase[] = ['prim', 'both', 'second', 'sec', 'pre'];
const ACTIONS: readonly CheckAction[] = ['restart', 'stopstart', 'stop', 'wait', 'noaction'];

/** @throws HoldfastError HF_CHECKER_TCP_CONFIGURATION when the element was not validated */
export function readConfiguration(element: ElementValue): TcpCheckConfiguration {
  const to = Array.isArray(element['to']) ? (element['to'] as readonly ElementValue[])[0] : undefined;
  const address = to?.['addr'];
  const port = to?.['port'];
  const ident = element['ident'];
  const phase = PHASES.find((each) => each === (element['when'] ?? 'prim'));
  const action = ACTIONS.find((each) => each === (element['action'] ?? 'restart'));
  const intervalMs = to?.['interval'] ?? 10_000;
  const timeoutMs = to?.['timeout'] ?? 5000;
  if (typeof ident !== 'string' || typeof address !== 'string' || typeof port !== 'number') throw invalid(element);
  if (phase === undefined || action === undefined || typeof intervalMs !== 'number' || typeof timeoutMs !== 'number')
    throw invalid(element);
  return { ident, phase, action, target: { address, port, timeoutMs }, intervalMs };
}

function invalid(element: ElementValue): HoldfastError {
  const message = `element <tcp> does not have the shape of schemas/tcp.json: ${JSON.stringify(element)}`;
  return new HoldfastError('HF_CHECKER_TCP_CONFIGURATION', message, { element });
}
