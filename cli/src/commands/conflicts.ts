/** `holdfast conflicts`: what a node has kept of its own changes when they were given up after a split brain. */
import { setTimeout as delay } from 'node:timers/promises';
import { HoldfastError } from '@holdfast/sdk';
import type { Command } from 'commander';
import type { Client, ConflictObjectView, ConflictView } from '../core.js';
import type { ExitCode } from '../exit-code.js';
import { type ModuleOption, moduleOf, moduleOption } from '../options.js';
import { Session } from '../session.js';
import { bytesText, printable } from '../terminal.js';

const PAGE_OBJECTS = 5000;
const POLL_MS = 250;
const DIGEST_SHOWN = 12;

interface ConflictDetails extends ConflictView {
  readonly listed: readonly ConflictObjectView[];
}

interface ExtractOptions extends ModuleOption {
  readonly to: string;
}

export function addConflictCommands(program: Command, exit: ExitCode): void {
  const conflicts = program
    .command('conflicts')
    .summary('changes that were given up after a split brain')
    .description(
      'When the changes of a node are given up after a split brain, the node first keeps whatever is overwritten or removed. ' +
        'These commands act on this node, or on the nodes of -H: each node has its own.',
    );
  addList(conflicts, exit);
  addShow(conflicts, exit);
  addExtract(conflicts, exit);
  conflicts
    .command('delete <id>')
    .summary('delete one for good')
    .description('Deletes a conflict from this node for good.')
    .addOption(moduleOption())
    .action(async (id: string, _options: ModuleOption, command: Command) => {
      await Session.of(command, exit).each(
        (client) => client.deleteConflict(moduleIn(command), id),
        () => `${printable(id)} is deleted`,
      );
    });
}

/** `-m` may stand before or behind the name of the command. */
function moduleIn(command: Command): string {
  return moduleOf(command.optsWithGlobals<ModuleOption>());
}

function addList(conflicts: Command, exit: ExitCode): void {
  conflicts
    .addOption(moduleOption())
    .command('list', { isDefault: true })
    .summary('list them')
    .description('Lists the conflicts that this node has kept.')
    .addOption(moduleOption())
    .addHelpText('after', "\nExamples:\n  holdfast conflicts -m ledger\n  holdfast -H '*' conflicts -m ledger list")
    .action(async (_options: ModuleOption, command: Command) => {
      const session = Session.of(command, exit);
      await session.each(
        (client) => client.conflicts(moduleIn(command)),
        (kept) => (kept.length === 0 ? 'nothing is kept' : listText(session, kept)),
      );
    });
}

function listText(session: Session, kept: readonly ConflictView[]): string {
  return session.paint.table(
    ['CONFLICT', 'SINCE', 'OBJECTS', 'CONTENT', 'FOLDER'],
    kept.map(({ id, at, endedAt, objects, bytes, folder }) => [
      printable(id),
      endedAt === undefined ? session.paint.as('orange', 'being kept') : printable(at),
      String(objects),
      bytesText(bytes),
      printable(folder),
    ]),
  );
}

function addShow(conflicts: Command, exit: ExitCode): void {
  conflicts
    .command('show <id>')
    .summary('what is in one')
    .description('Lists the objects of a conflict: what was overwritten (content, attributes), and what was removed.')
    .addOption(moduleOption())
    .action(async (id: string, _options: ModuleOption, command: Command) => {
      const session = Session.of(command, exit);
      await session.each(
        (client) => detailsOf(client, moduleIn(command), id),
        ({ listed }) => (listed.length === 0 ? 'nothing was overwritten' : objectsText(session, listed)),
      );
    });
}

async function detailsOf(client: Client, module: string, id: string): Promise<ConflictDetails> {
  const conflict = await known(client, module, id);
  const listed: ConflictObjectView[] = [];
  for (;;) {
    const after = listed.at(-1)?.number ?? 0;
    const page = await client.conflictObjects(module, id, { after, limit: PAGE_OBJECTS });
    listed.push(...page);
    if (page.length < PAGE_OBJECTS) return { ...conflict, listed };
  }
}

async function known(client: Client, module: string, id: string): Promise<ConflictView> {
  const kept = await client.conflicts(module);
  const found = kept.find((conflict) => conflict.id === id);
  if (found !== undefined) return found;
  const there = kept.map((conflict) => conflict.id).join(', ') || 'none';
  throw new HoldfastError('HF_CONFLICT_UNKNOWN', `no conflict "${id}" is kept on this node; there is ${there}`, { id });
}

function objectsText(session: Session, objects: readonly ConflictObjectView[]): string {
  return session.paint.table(
    ['CAUSE', 'KIND', 'SIZE', 'MODIFIED', 'SHA-256', 'PATH'],
    objects.map(({ cause, kind, size, modifiedAt, digest, path, linkTo }) => [
      linkTo === undefined ? cause : 'name',
      kind,
      digest === undefined ? '' : bytesText(size),
      linkTo === undefined ? modifiedAt : '',
      digest?.slice(0, DIGEST_SHOWN) ?? '',
      linkTo === undefined ? printable(path) : `${printable(path)} = ${printable(linkTo)}`,
    ]),
  );
}

function addExtract(conflicts: Command, exit: ExitCode): void {
  conflicts
    .command('extract <id> [path...]')
    .summary('copy objects of one to a folder')
    .description(
      'Copies objects of a conflict, with what is below them, or everything, to a folder of the node, each under its whole path, with ' +
        'owner, permissions, times, extended attributes, holes and hard links. Content is compared with its digest. Nothing that exists ' +
        'is overwritten, and the folder must not be a replicated one: look at what was extracted, and copy what you need.',
    )
    .addOption(moduleOption())
    .requiredOption('--to <folder>', 'absolute path on the node')
    .addHelpText('after', '\nExamples:\n  holdfast conflicts -m ledger extract ID /srv/ledger/data --to /srv/kept')
    .action(async (id: string, paths: readonly string[], options: ExtractOptions, command: Command) => {
      const module = moduleIn(command);
      await Session.of(command, exit).each(
        (client) => extract(client, module, id, paths, options.to),
        ({ objects, bytes, to }) => `${objects} objects, ${bytesText(bytes)}, are in ${printable(to)}`,
      );
    });
}

/** Waits for the end, however long that takes. */
async function extract(
  client: Client,
  module: string,
  id: string,
  paths: readonly string[],
  to: string,
): Promise<{ readonly to: string; readonly objects: number; readonly bytes: number }> {
  await client.extractConflict(module, id, { to, ...(paths.length === 0 ? {} : { paths }) });
  for (;;) {
    const { extraction } = await known(client, module, id);
    if (extraction === undefined) throw new HoldfastError('HF_CONFLICT_EXTRACT', 'the agent was restarted while it extracted');
    if (extraction.failure !== undefined) throw new HoldfastError(extraction.failure.code, extraction.failure.message, { id });
    if (extraction.state === 'done') return { to: extraction.to, objects: extraction.objects, bytes: extraction.bytes };
    await delay(POLL_MS);
  }
}
