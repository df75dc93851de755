/**
 * `safekit`, for existing scripts: the same command line as `holdfast`, which knows most of its words already. What is spelled
 * differently is rewritten here, and what does not exist here is refused with a sentence.
 */
import { HoldfastError } from '@holdfast/sdk';

/** Behind `-r`: programs of the reference product's own folder. */
const SPECIAL: readonly string[] = ['processtree', 'boundcmd', 'gencron'];

/** `set` options that say how the value is kept: here it always has a history. */
const DROPPED_OF_SET: Readonly<Record<string, 'flag' | 'value'>> = { '-n': 'flag', '-l': 'flag', '-i': 'value' };

const WITH_SPACE: Readonly<Record<string, readonly string[]>> = {
  config: ['module', 'config'],
  confcheck: ['module', 'config', '--check'],
  waitstart: ['waitstate', 'PRIM,ALONE,SECOND,UP'],
  waitstop: ['waitstate', 'STOP'],
  level: ['--version'],
};

const REFUSED: Readonly<Record<string, string>> = {
  forcestop: 'a stop ends by force by itself after nicestoptimeout and forcestoptimeout: use stop',
  logview: 'use log -f',
  namealias: 'it belongs to Windows networks: give the clients the virtual address or a name for it',
  vhostservice: 'it belongs to Windows: see <vhost> for Linux',
  rfssync: 'external synchronisation is not supported',
  webserver: 'the API is part of the agent',
};

/** @throws HoldfastError HF_CLI_REFERENCE_WORD for what does not exist here */
export function rewriteSafekit(words: readonly string[]): readonly string[] {
  const start = words[0] === '-H' ? 2 : 0;
  const before = words.slice(0, start);
  let [word = '--help', ...rest] = words.slice(start);
  if (word === '-r') {
    [word = '', ...rest] = rest;
    if (!SPECIAL.includes(word)) refuse(`-r ${word}`, `of these programs there are ${SPECIAL.join(', ')}`);
  }
  if (Object.hasOwn(REFUSED, word)) refuse(word, REFUSED[word] ?? '');
  if (word === 'errd' && (rest[0] === 'suspend' || rest[0] === 'resume')) rest = [rest[0] === 'suspend' ? 'off' : 'on', ...rest.slice(1)];
  if (word === 'set') rest = withoutOptions(rest);
  if (Object.hasOwn(WITH_SPACE, word)) return [...before, ...(WITH_SPACE[word] ?? []), ...rest];
  return [...before, word, ...rest];
}

function withoutOptions(words: readonly string[]): string[] {
  const kept: string[] = [];
  for (let index = 0; index < words.length; index += 1) {
    const word = words[index] ?? '';
    const dropped = DROPPED_OF_SET[word];
    if (dropped === undefined) kept.push(word);
    else if (dropped === 'value') index += 1;
  }
  return kept;
}

function refuse(word: string, why: string): never {
  throw new HoldfastError('HF_CLI_REFERENCE_WORD', `safekit ${word} does not exist here: ${why}`);
}
