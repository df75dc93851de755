/** `printi`, `printe`, `printw` and `gencron`: further words of the reference product that scripts of a module use. */
import { execFileSync } from 'node:child_process';
import { HoldfastError, messageOf } from '@holdfast/sdk';
import { Argument, type Command, Option } from 'commander';
import type { ScriptNote } from '../core.js';
import { switchCrontab } from '../crontab.js';
import type { ExitCode } from '../exit-code.js';
import { type ModuleOption, moduleOf, moduleOption } from '../options.js';
import { Session } from '../session.js';

const NOTE_CHARS_MAX = 1000;
const CRONTAB_BYTES_MAX = 4_194_304;

const PRINTS: readonly { readonly name: string; readonly level: ScriptNote['level']; readonly summary: string }[] = [
  { name: 'printi', level: 'info', summary: "write a detail into a module's log" },
  { name: 'printe', level: 'event', summary: "write an event into a module's log" },
  { name: 'printw', level: 'warning', summary: "write a warning into a module's log" },
];

export function addScriptCommands(program: Command, exit: ExitCode): void {
  for (const { name, level, summary } of PRINTS) {
    program
      .command(name)
      .summary(summary)
      .description('Writes one line into the log of the module, for its scripts.')
      .argument('<text...>', 'the line')
      .addOption(moduleOption())
      .addHelpText('after', `\nExamples:\n  holdfast ${name} "the licence server does not answer"`)
      .action(async (words: readonly string[], options: ModuleOption, command: Command) => {
        const text = words
          .join(' ')
          .replaceAll(/\p{Cc}+/gu, ' ')
          .trim()
          .slice(0, NOTE_CHARS_MAX);
        if (text === '') throw new HoldfastError('HF_CLI_USAGE', `${name} needs a text`);
        const module = moduleOf(options);
        await Session.of(command, exit).each(
          (client) => client.note(module, { level, text }),
          () => '',
        );
      });
  }
  addGencron(program, exit);
}

function addGencron(program: Command, exit: ExitCode): void {
  program
    .command('gencron')
    .summary('switch entries of a crontab off and on')
    .description(
      "Comments entries of a user's crontab out (del) and in again (add), so that jobs run only where the application does: add in " +
        'start_prim, del in stop_prim and prestart. Chooses the entries that contain every word, or all. What was commented out ' +
        'otherwise stays so.',
    )
    .addArgument(new Argument('<deed>', 'del: off; add: on').choices(['add', 'del']))
    .argument('<user>', 'whose crontab')
    .argument('<words...>', 'words that an entry must contain, or all')
    .addOption(new Option('-c, --comment <text>', 'marks what this caller switches off, and chooses what it switches on').default(''))
    .addHelpText('after', '\nExamples:\n  holdfast gencron del oracle all\n  holdfast gencron add oracle -c ledger /opt/ledger/nightly')
    .action((deed: string, user: string, words: readonly string[], options: { readonly comment: string }, command: Command) => {
      const comment = options.comment.replaceAll(/[\p{Cc}:]+/gu, ' ').trim();
      const before = crontab(['-u', user, '-l']);
      const selection = { words: words.length === 1 && words[0] === 'all' ? [] : words, comment };
      const { text, changed } = switchCrontab(before, deed === 'add', selection);
      if (changed > 0) crontab(['-u', user, '-'], text);
      const done = `${changed} ${changed === 1 ? 'entry' : 'entries'} of ${user} switched ${deed === 'add' ? 'on' : 'off'}`;
      Session.of(command, exit).report({ user, changed }, () => done);
    });
}

function crontab(words: readonly string[], input?: string): string {
  const options = { encoding: 'utf8', maxBuffer: CRONTAB_BYTES_MAX, env: { ...process.env, LC_ALL: 'C' }, stdio: 'pipe' } as const;
  try {
    return execFileSync('crontab', words, { ...options, ...(input === undefined ? {} : { input }) });
  } catch (error) {
    const said = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : '';
    // A user without a crontab has no entries.
    if (input === undefined && /^no crontab for/m.test(said)) return '';
    throw new HoldfastError('HF_CLI_CRONTAB', `crontab ${words.join(' ')} failed: ${said || messageOf(error)}`);
  }
}
