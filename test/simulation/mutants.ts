/**
 * Deliberate bugs in the decisions, each of which the simulation must catch. A mutant is a change of the compiled code of one file; it
 * runs as a copy of the decisions in a folder of its own.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { HoldfastError } from '@holdfast/sdk';
import type { Automaton } from './automaton.js';

interface Change {
  /** Below the compiled decide/, without extension. */
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

export interface Mutant extends Change {
  readonly name: string;
  /** Another rule that would make the bug harmless. */
  readonly also?: Change;
}

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'a new generation is not persisted before a takeover',
    file: 'mirror/sequences',
    find: "{ kind: 'awaitGrant', from, generation }] : []),\n        persist(durable),",
    replace: "{ kind: 'awaitGrant', from, generation }] : []),",
  },
  {
    name: 'the secondary does not wait for the witness',
    file: 'mirror/second',
    find: 'return beginTakeover(draft, why, true);',
    replace: 'return beginTakeover(draft, why);',
  },
  {
    name: 'the secondary asks although only the primary goes on',
    file: 'mirror/second',
    find: 'if (mayAsk(state))',
    replace: 'if (true)',
  },
  {
    name: 'the primary goes on without asking',
    file: 'mirror/step',
    find: 'if (!mustAsk(state, before))',
    replace: 'if (true)',
  },
  {
    name: 'a primary that holds its writes waits for one that an operator declared good',
    file: 'mirror/step',
    find: 'if (heard && isOtherReign(before, peer))',
    replace: 'if (false)',
  },
  {
    name: 'what an operator declares good beside a peer without data needs no consent',
    file: 'mirror/wait',
    find: "const agrees = order !== 'second-newer' && order !== 'diverged';",
    replace: "const agrees = order === 'same' || order === 'first-newer';",
  },
  {
    name: 'an unsettled offer counts as agreed',
    file: 'mirror/agreement',
    find: "mode === 'primary-only' && holder === settings.node && settled;",
    replace: "mode === 'primary-only' && holder === settings.node;",
  },
  {
    name: 'a refusal of the witness is taken for a grant',
    file: 'mirror/claim',
    find: "if (claim.answer === 'granted' || claim.answer === 'refused')\n            return claim.answer;",
    replace: "if (claim.answer === 'granted' || claim.answer === 'refused')\n            return 'granted';",
  },
  {
    name: 'no answer of the witness is taken for a grant',
    file: 'mirror/claim',
    find: 'if (claim.actionId !== undefined ||',
    replace: "if (claim.answer === 'unanswered') return 'granted';\n        if (claim.actionId !== undefined ||",
  },
  {
    name: 'a partial copy may take over',
    file: 'mirror/second',
    find: "state.durable.condition === 'uptodate' && !state.replication.inconsistent",
    replace: 'true',
    also: { file: 'mirror/second', find: '|| isOutrun(state)', replace: '' },
  },
  {
    name: 'an outdated copy may take over',
    file: 'mirror/second',
    find: "return beginRecord(draft, { ...durable, condition: 'outdated' }, 'Transient', reason('outdatedByPeer', { peer: peer.node }));",
    replace: '',
    also: { file: 'mirror/second', find: '|| isOutrun(state)', replace: '' },
  },
  {
    name: 'a node that left its role goes on without consent',
    file: 'mirror/sequences',
    find: 'return leaves ? yielding(unprepared(durable)) : durable;',
    replace: 'return durable;',
  },
  {
    name: 'a node goes on beside its peer without consent',
    file: 'mirror/wait',
    find: 'if (isHolderStill(draft.state) || isAgreed(draft, peer))',
    replace: 'if (true)',
  },
  {
    name: 'that a secondary was let in is not made durable',
    file: 'mirror/primary',
    find: 'if (!state.durable.followed)',
    replace: 'if (false)',
  },
  {
    name: 'a secondary counts as synchronised when only one end says so',
    file: 'mirror/second',
    find: "state.replication.link === 'connected' && peer.link === 'connected' && !state.replication.inconsistent",
    replace: "peer.link === 'connected'",
  },
  {
    name: 'a resynchronised copy keeps the agreement that it had',
    file: 'mirror/second',
    find: "const agreement = { ...peer.agreement, mode: 'primary-only', holder: peer.node, settled: true };",
    replace: "const agreement = { ...durable.agreement, mode: 'witness', settled: true };",
  },
  {
    name: 'the witness is armed while it may be asked',
    file: 'mirror/agreement',
    find: "if (present.mode === 'primary-only' && bothReach",
    replace: 'if (bothReach',
  },
  {
    name: 'the held writes are released before the peer is outdated',
    file: 'mirror/step',
    find: 'if (told || left)\n        return advance(draft, sequence);',
    replace: 'return advance(draft, sequence);',
  },
  {
    name: 'split copies: the older one goes on',
    file: 'mirror/wait',
    find: "case 'second-newer':\n            return isStopped(peer)",
    replace: "case 'second-newer':\n            return beginAlone(draft, reason('ready'), false) ?? isStopped(peer)",
  },
  {
    name: 'a copy is compared by journal although the journal does not fit',
    file: 'mirror/primary',
    find: "if (!fits)\n        return reason('compareOtherJournal', fields);",
    replace: '',
  },
  {
    name: 'a goodbye counts although its sender did not give up its role',
    file: 'mirror/second',
    find: 'if (state.detector.goodbye && state.peer?.yielded === true)',
    replace: 'if (state.detector.goodbye)',
  },
  {
    name: 'an offer frees a node that had agreed not to ask',
    file: 'mirror/agreement',
    find: 'bound !== true && ',
    replace: '',
  },
  {
    // A node that hears the consent hears in the same report that the other's data is newer: it has to ignore that as well.
    name: 'an older copy goes on with the consent of the newer one',
    file: 'mirror/agreement',
    find: "if (order === 'first-newer' || order === 'diverged')\n        return false;",
    replace: '',
    also: {
      file: 'mirror/wait',
      find: "case 'second-newer':\n            return isStopped(peer)",
      replace:
        "case 'second-newer':\n            return canLead(state) ? goOnBeside(draft, peer, reason('sameAsPeer', {})) : isStopped(peer)",
    },
  },
  {
    name: 'a primary copies over a secondary whose changes it does not have',
    file: 'mirror/primary',
    find: "if (order === 'diverged' || order === 'second-newer')\n        return;",
    replace: '',
  },
  {
    name: 'a reign that was followed is continued as the same one',
    file: 'mirror/sequences',
    find: 'state.durable.peerOutdated && !state.durable.followed && !declared',
    replace: 'state.durable.peerOutdated && !declared',
  },
  {
    name: 'the generation without the peer is not durable before the peer hears of it',
    file: 'mirror/sequences',
    find: 'persist(prepared(durable, state.durable)),',
    replace: '',
  },
  {
    name: 'a restarted primary goes on without hearing anybody',
    file: 'mirror/wait',
    find: 'if (mustAsk(state) || !state.witness.reachable)',
    replace: 'if (false)',
  },
  {
    name: 'the last primary goes on although it was followed or had left',
    file: 'mirror/wait',
    find: "durable.condition === 'uptodate' && !durable.followed && !durable.yielded",
    replace: "durable.condition === 'uptodate'",
  },
  {
    name: 'a node that is stopped keeps its role on the disk',
    file: 'mirror/sequences',
    find: "act({ kind: 'persist', durable: { ...leaving(state, durable), started: shutdown && durable.started } }, 'continue')",
    replace: "act({ kind: 'persist', durable: { ...durable, started: shutdown && durable.started } }, 'continue')",
  },
  {
    name: 'what was prepared counts as allowed when the peer is heard again',
    file: 'mirror/wait',
    find: 'if (state.durable.before !== undefined)\n            return beginQuietRecord',
    replace: 'if (false)\n            return beginQuietRecord',
  },
  {
    name: 'a start goes on from an agreement of before, beside what it heard before',
    file: 'mirror/wait',
    find: 'if (isHolderStill(draft.state) ||',
    replace: 'if (isHolder(draft.state) ||',
  },
  {
    name: 'a copy that is to follow is not marked as outdated first',
    file: 'mirror/sequences',
    find: "state.durable.condition === 'inconsistent' ? 'inconsistent' : 'outdated'",
    replace: 'state.durable.condition',
  },
  {
    name: 'a failed durable write counts as done',
    file: 'mirror/step',
    find: 'if (error === undefined) {',
    replace: "if (error === undefined || action.kind === 'persist') {",
  },
  {
    name: 'each node prefers whom it is configured for, whatever the other is',
    file: 'mirror/deciding',
    find: 'theirs === undefined || theirs === settings.defaultPrimary',
    replace: 'true',
  },
  {
    name: 'an image is wanted, and the partial copy goes on',
    file: 'mirror/sequences',
    find: '...(state.forced && { force: true }), ...(state.fromImage && { image: true })',
    replace: '...((state.forced || state.fromImage) && { force: true })',
  },
  {
    name: 'a new generation forgets where it came from',
    file: '../model/generation',
    find: '[lineage.current, ...lineage.history]',
    replace: '[...lineage.history]',
  },
  {
    name: 'copies that both went on count as one that is older',
    file: '../model/generation',
    find: "return 'diverged';",
    replace: "return 'second-newer';",
  },
  {
    name: 'a split copy follows the other primary by itself',
    file: 'mirror/wait',
    find: "case 'second-newer':\n            return beginSecond(draft,",
    replace: "case 'second-newer':\n        case 'diverged':\n            return beginSecond(draft,",
  },
];

const DECISIONS = dirname(fileURLToPath(import.meta.resolve('@holdfast/core/decide')));

function apply({ file, find, replace }: Change, name: string, folder: string): void {
  const path = join(folder, 'decide', `${file}.js`);
  const text = readFileSync(path, 'utf8');
  const places = text.split(find).length - 1;
  if (places !== 1) {
    throw new HoldfastError('HF_SIMULATION_MUTANT', `the mutant "${name}" has ${places} places in ${file}; it needs one`, { find });
  }
  writeFileSync(
    path,
    text.replace(find, () => replace),
  );
}

/** A copy of the decisions with one bug. @throws HoldfastError HF_SIMULATION_MUTANT when the code to change is not there exactly once */
export async function loadMutant(mutant: Mutant): Promise<Automaton> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-mutant-'));
  try {
    writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
    cpSync(DECISIONS, join(folder, 'decide'), { recursive: true });
    cpSync(join(DECISIONS, '../model'), join(folder, 'model'), { recursive: true });
    for (const change of mutant.also === undefined ? [mutant] : [mutant, mutant.also]) apply(change, mutant.name, folder);
    return (await import(pathToFileURL(join(folder, 'decide/index.js')).href)) as Automaton;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
