/**
 * Why something happened: a code with fields, rendered to one sentence in this catalogue and nowhere else. Shown in the log, the API and
 * the command line. The sentence says what the operator should do where there is something to do.
 */
type Fields = Readonly<Record<string, string | number>>;

const CATALOGUE = {
  configured: 'the module is configured and stopped',
  operatorStart: 'start, by the operator',
  bootStart: 'start, because the node booted',
  operatorStop: 'stop, by the operator',
  shutdown: 'stop, because the agent ends',
  operatorRestart: 'restart, by the operator',
  operatorStopstart: 'stopstart, by the operator',
  operatorSwap: 'swap, by the operator',
  operatorPrim: 'prim, by the operator: the data of this node is declared good',
  operatorSecond: 'second, by the operator',
  waitingForPeer: 'waiting to hear from {peer}',
  notUptodateFirstStart:
    'not uptodate: no node has ever been declared good; run "holdfast prim" on the node with the good data, then start the other',
  notUptodatePeerSilent:
    'not uptodate: {peer} is silent and may hold newer data; start {peer}, or run "holdfast prim" here to go on with this copy',
  notUptodateInconsistent: 'not uptodate: this copy was only partly synchronised; start {peer}, which holds the good data',
  noGoodCopy:
    'no copy is known to be whole and up to date: bring back the disk with the good data, or go on with this copy by "holdfast prim"; ' +
    'when it was only partly synchronised, by "prim --image" or "primforce"',
  secondOnly: 'this node was started as secondary: start {peer} as primary, or run "holdfast prim" here to go on with this copy',
  settingsDiffer:
    'not following {peer}: {setting} is {here} here and {there} there, and both must decide by the same: ' +
    '"holdfast module config -m {module}" applies the configuration of the node where it is run to both',
  peerIsNewer: '{peer} holds newer data: waiting for it to become primary',
  peerStoppedNewer: '{peer} is stopped and holds newer data: start it there',
  peerChosen: '{peer} becomes primary: it was primary last, or is preferred',
  peerRunsOlderData:
    '{peer} runs as primary on older data than this copy: stop it, or run "holdfast second fullsync" here to give this copy up',
  splitBrain:
    'split brain: both nodes went on without the other; {peer} goes on; "holdfast second fullsync" here gives up the changes of this node',
  splitBrainGivesUp:
    'split brain: {peer} goes on ({policy}); the changes of this node are given up, and kept aside: see "holdfast conflicts"',
  splitBrainWaiting:
    'split brain: both copies changed without the other; run "holdfast prim" on the node to keep, "holdfast second fullsync" on the other',
  lastPrimary: 'this node was the last primary, {peer} is known to be outdated',
  sameAsPeer: 'both copies are the same generation, this node was primary last or is preferred',
  newerThanPeer: 'this copy is newer than the one of {peer}',
  peerStoppedSame: '{peer} is stopped with the same data',
  peerIsPrimary: '{peer} is primary',
  synchronised: 'synchronised with {peer}',
  resynchronising: 'resynchronising from {peer}',
  peerSynchronised: '{peer} is synchronised',
  peerLost: 'no heartbeat from {peer} for {silentMs} ms on any link',
  peerStopped: 'remote stop: {peer} left cleanly',
  handsOver: '{peer} has the data now and takes over',
  peerHandedOver: '{peer} handed over',
  linkLost: 'the replication link to {peer} was lost: {cause}',
  linkToPrimaryDown: 'the replication link to {peer} is down, this copy is as new as the last acknowledged write',
  outdatedByPeer: '{peer} went on without this copy',
  deposed: '{peer} took over in the meantime',
  failoverOff: '{peer} is lost and failover is off: only "holdfast prim" promotes',
  takeoverRefused: '{peer} is lost, but this copy is not up to date: it cannot take over',
  resourceDown: 'resource {resource} is down ({detail}): {action}',
  ruleActs: 'failover rule {rule} holds ({when}): {action}',
  ruleCannotSwap: 'failover rule {rule} wants a swap, but {peer} is no ready secondary: nothing is done until it is',
  ruleWaits: 'failover rule {rule} keeps the module waiting: {when}',
  ruleWaitsForInit: 'waiting until {resources} is known: failover rules that may keep the module waiting ask for it',
  wakeup: 'action wakeup from failover rule {rule}: no rule keeps the module waiting any more',
  loopIncremented: 'an automatic action by {identity}: {count} of {max} within the interval',
  loopReset: 'the count of automatic actions is 0 again, by the operator',
  maxloop: 'stopped by maxloop: {count} automatic actions within the interval, and one more wanted: {cause}',
  stepFailed: '{step} failed: {error}',
  addressTaken: 'virtual address taken by another host: {error}',
  agreedWitness: 'if the nodes lose each other, the witness decides who goes on',
  agreedPrimaryOnly: 'the witness is not available to both nodes: if they lose each other, {node} goes on and {peer} does not take over',
  asksWitness: '{peer} is silent: asking the witness who goes on',
  witnessGranted: 'the witness lets this node go on',
  witnessRefused: 'the witness gave the right to go on to {owner}',
  witnessUnanswered: 'the witness gave no answer: {error}',
  notGranted: 'waiting for {peer}: the witness gave the right to go on to {owner}',
  undecided: '{peer} is silent and the witness does not answer: make one of them reachable, or run "holdfast prim" on the node to go on',
  undecidedGoesOn: '{peer} is silent and the witness does not answer: going on all the same, as configured',
  notSuccessor:
    '{peer} is silent, and it was agreed that it goes on alone (no witness was available): if it is dead, run "holdfast prim" here',
  onlyPrimary: 'it was agreed that this node goes on alone: {peer} does not take over',
  waitingForConsent: 'waiting for {peer} to agree',
  swapUnanswered: '{peer} did not take over within {limitMs} ms: deciding again',
  replicationFailed: 'replication failed on this node: {cause}',
  compareNewCopy: '{peer} has never held this data',
  comparePartialCopy: 'the copy of {peer} was only partly synchronised',
  compareNoJournal: 'this node does not know what changed since both copies were the same',
  compareOtherJournal: 'what this node knows to have changed does not begin where the copy of {peer} ends',
  compareUnmarkedCopy: 'the copy of {peer} is not marked as behind, although this node went on without it',
  ready: 'ready',
  defaultPrim: 'swap, because {peer} is configured as the default primary',
} as const;

export type ReasonCode = keyof typeof CATALOGUE;

export interface Reason {
  readonly code: ReasonCode;
  readonly fields: Fields;
}

export function reason(code: ReasonCode, fields: Fields = {}): Reason {
  return { code, fields };
}

/** One sentence, without a full stop. */
export function renderReason(of: Reason): string {
  return CATALOGUE[of.code].replace(/\{(\w+)\}/g, (_match, name: string) => String(of.fields[name] ?? '?'));
}
