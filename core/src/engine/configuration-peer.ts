/** What the node that coordinates a change of configuration makes of the other node's answers, and of its silence. */
import { HoldfastError, messageOf } from '@holdfast/sdk';
import type { ConfigurationParticipant, PeerOutcome, PrepareBody } from '../api/configuration-contract.js';

export interface OtherNode {
  readonly node: string;
  readonly participant: ConfigurationParticipant;
}

/** Nothing was stored there, or nobody can say. */
const UNREACHED = ['HF_NODE_UNREACHABLE', 'HF_NODE_TIMEOUT'];
/** They name the node and what to do themselves. */
const PLAIN = ['HF_CONFIG_STOP_NEEDED', 'HF_CONFIG_BUSY', 'HF_CONFIG_HOOK', 'HF_MODULE_CHANGING'];

/** The first phase. A node that is not there, or has no such module, does not take part. @throws HoldfastError it refuses */
export async function reach({ node, participant }: OtherNode, name: string, body: PrepareBody): Promise<PeerOutcome> {
  try {
    const { outcome, changes } = await participant.prepare(name, body);
    if (outcome === 'unchanged') return { node, outcome, changes, text: `${node} has it already` };
    const planned = body.dryRun === true;
    return { node, outcome: planned ? 'planned' : 'applied', changes, text: planned ? `${node} would get it too` : `applied on ${node}` };
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    if (UNREACHED.includes(error.code)) {
      const text = `${node} is not reached and keeps the configuration that it has: repeat the command when it is back`;
      return { node, outcome: 'unreachable', changes: [], text };
    }
    if (error.code === 'HF_MODULE_UNKNOWN') {
      return { node, outcome: 'not installed', changes: [], text: `${node} has no module ${name}: install it there` };
    }
    if (PLAIN.includes(error.code)) throw error;
    throw new HoldfastError('HF_CONFIG_PEER_REFUSES', `${node} refuses it, nothing is changed: ${messageOf(error)}`, error.details, {
      cause: error,
    });
  }
}

/** The second phase: what it answers to the decision. */
export async function tell(
  { node, participant }: OtherNode,
  name: string,
  transaction: string,
  reached: PeerOutcome,
): Promise<PeerOutcome> {
  try {
    await participant.commit(name, transaction);
    return reached;
  } catch (error) {
    if (error instanceof HoldfastError && UNREACHED.includes(error.code)) {
      const text = `${node} has stored it and did not answer since: it applies it when it is back`;
      return { ...reached, outcome: 'undecided', text };
    }
    return { ...reached, outcome: 'failed', text: `${node} has applied it, but: ${messageOf(error)}` };
  }
}
