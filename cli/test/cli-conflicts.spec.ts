import assert from 'node:assert/strict';
import type { MemoryAgent } from '../../core/test/api-memory-agent.js';
import type { ConflictObjectView, ConflictView } from '../src/core.js';
import { CommandLine, loadMemoryAgents } from './command-line.js';

const ID = '20261129T120000Z-node2-ffffffff';
const CONFLICT: ConflictView = {
  id: ID,
  node: 'node2',
  generation: 'f'.repeat(32),
  at: '2026-11-29T12:00:00.000Z',
  endedAt: '2026-11-29T12:01:00.000Z',
  objects: 2,
  bytes: 7,
  folder: `/var/lib/holdfast/modules/ledger/replication/conflicts/${ID}`,
};
const FILE: ConflictObjectView = {
  number: 1,
  path: '/srv/ledger/own\u001b[31m',
  kind: 'file',
  cause: 'removed',
  mode: 0o644,
  uid: 0,
  gid: 0,
  modifiedAt: '2026-11-29T11:00:00.000Z',
  size: 7,
  digest: 'a'.repeat(64),
};
const OBJECTS: readonly ConflictObjectView[] = [FILE, { ...FILE, number: 2, path: '/srv/ledger/other', linkTo: '/srv/ledger/own' }];

describe('holdfast conflicts', function () {
  this.timeout(30_000);
  let first: MemoryAgent;
  let second: MemoryAgent;
  let cli: CommandLine;

  beforeEach(async () => {
    ({ first, second } = await (await loadMemoryAgents()).startMemoryPair());
    cli = await CommandLine.create(first.baseUrl, first.token);
    for (const { service } of [first, second]) service.addModule('ledger');
    second.service.kept = [CONFLICT];
    second.service.keptObjects = OBJECTS;
  });
  afterEach(async () => {
    await Promise.all([first.close(), second.close(), cli.remove()]);
  });

  it('lists what each node has kept', async () => {
    const here = await cli.run('conflicts', '-m', 'ledger');
    assert.equal(here.code, 0, here.stderr);
    assert.match(here.stdout, /nothing is kept/);
    const both = await cli.run('-H', 'node1,node2', 'conflicts', '-m', 'ledger', 'list', '--json');
    assert.equal(both.code, 0, both.stderr);
    const { nodes } = JSON.parse(both.stdout) as { nodes: { node: string; result: ConflictView[] }[] };
    assert.deepEqual(nodes.find(({ node }) => node === 'node2')?.result, [CONFLICT]);
  });

  it('shows the objects of one, of the other node too, and nothing that a terminal would obey', async () => {
    const shown = await cli.run('-H', 'node2', 'conflicts', 'show', ID, '-m', 'ledger');
    assert.equal(shown.code, 0, shown.stderr);
    assert.match(shown.stdout, /removed +file +7 B .*aaaaaaaaaaaa/);
    assert.match(shown.stdout, /name .*\/srv\/ledger\/other = \/srv\/ledger\/own/);
    assert.doesNotMatch(shown.stdout, /\u001b\[31m/);
  });

  it('extracts to a folder of the node and says how much', async () => {
    const extracted = await cli.run('-H', 'node2', 'conflicts', 'extract', ID, '/srv/ledger/own', '--to', '/srv/kept', '-m', 'ledger');
    assert.equal(extracted.code, 0, extracted.stderr);
    assert.match(extracted.stdout, /1 objects, 7 B, are in \/srv\/kept/);
  });

  it('deletes one, and refuses what is not there with a sentence', async () => {
    const unknown = await cli.run('conflicts', 'delete', ID, '-m', 'ledger');
    assert.equal(unknown.code, 1);
    assert.match(unknown.stderr, /HF_CONFLICT_UNKNOWN/);
    const deleted = await cli.run('-H', 'node2', 'conflicts', 'delete', ID, '-m', 'ledger');
    assert.equal(deleted.code, 0, deleted.stderr);
    assert.deepEqual(second.service.kept, []);
  });
});
