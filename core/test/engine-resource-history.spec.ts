import assert from 'node:assert/strict';
import { appendFile, mkdtemp, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ResourceBook } from '../src/engine/resource-book.js';
import { ResourceFacts } from '../src/engine/resource-facts.js';
import { HISTORY_ENTRIES_MAX, HISTORY_PER_RESOURCE_MAX, ResourceHistory } from '../src/engine/resource-history.js';
import type { FailoverConfiguration } from '../src/model/rules.js';
import { processorMs } from './processor-time.js';

describe('the history of resources', () => {
  let folder = '';
  let path = '';
  const warnings: string[] = [];
  const log = {
    debug: () => undefined,
    info: () => undefined,
    warn: (message: string) => void warnings.push(message),
    error: () => undefined,
  };
  const open = (): Promise<ResourceHistory> => ResourceHistory.open(path, log);

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'holdfast-history-'));
    path = join(folder, 'resources.log');
    warnings.length = 0;
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it('is there again after a restart, with who said so', async () => {
    const first = await open();
    const book = new ResourceBook(undefined, first);
    book.set('tcp.web', 'init', 'not watched');
    book.set('tcp.web', 'up', 'connected');
    book.set('tcp.web', 'up', 'connected again');
    book.set('custom.door', 'down', 'open', { by: 'janitor' });
    book.set('custom.door', 'up', 'closed', { unrecorded: true });
    await first.close();
    const again = new ResourceBook(undefined, await open());
    again.set('tcp.web', 'init', 'not watched');
    assert.deepEqual(
      again.list('tcp.web')[0]?.history.map(({ value }) => value),
      ['init', 'up', 'init'],
    );
    again.set('custom.door', 'down', 'still open');
    const [door] = again.list('custom.door');
    assert.deepEqual(
      door?.history.map(({ value, detail, by }) => [value, detail, by]),
      [['down', 'open', 'janitor']],
      'a restart that finds the same is no news',
    );
  });

  it('loses only a line that was torn, and the lines after it are read', async () => {
    const first = await open();
    for (const value of ['up', 'down', 'up']) first.add('tcp.web', { at: '2026-01-01T00:00:00Z', value, detail: value });
    await first.close();
    await truncate(path, (await stat(path)).size - 7);
    const second = await open();
    assert.deepEqual(
      second.of('tcp.web').map(({ value }) => value),
      ['up', 'down'],
    );
    second.add('tcp.web', { at: '2026-01-01T00:00:01Z', value: 'unknown', detail: '' });
    await second.close();
    await appendFile(path, '{"not":"ours"}\n[1,2]\nnonsense\n');
    assert.deepEqual(
      (await open()).of('tcp.web').map(({ value }) => value),
      ['up', 'down', 'unknown'],
    );
  });

  it('is bounded per resource, and its file is rewritten when most of it is outdated', async () => {
    const history = await open();
    for (let index = 0; index < 30_000; index += 1) {
      history.add('tcp.flapping', { at: '2026-01-01T00:00:00Z', value: index % 2 === 0 ? 'up' : 'down', detail: `${index}` });
      if (index % 1_000 === 0) await history.flush();
    }
    await history.close();
    assert.equal(history.of('tcp.flapping').length, HISTORY_PER_RESOURCE_MAX);
    const lines = (await readFile(path, 'utf8')).trimEnd().split('\n').length;
    assert.ok(lines < 12_000, `${lines} lines`);
    const again = await open();
    assert.equal(again.of('tcp.flapping').at(-1)?.detail, '29999');
  });

  it('of ten thousand resources costs little time and space, also while everything changes', async () => {
    const watched = Array.from({ length: 10_000 }, (_, index) => ({
      resource: `tcp.r${index}`,
      action: 'restart' as const,
      phase: 'prim',
    }));
    const history = await open();
    const failover = { local: ['tcp.*', 'tcp.?'] } as unknown as FailoverConfiguration;
    const facts = new ResourceFacts(failover, watched);
    const book = new ResourceBook(facts, history);
    const started = processorMs();
    for (let round = 0; round < 10; round += 1) {
      for (const { resource } of watched) book.set(resource, round % 2 === 0 ? 'up' : 'down', `round ${round}`);
    }
    const setMs = processorMs() - started;
    const counts = facts.take();
    assert.deepEqual(counts?.tallies['tcp.*'], { init: 0, up: 0, down: 10_000, unknown: 0, pending: 0 });
    assert.equal(facts.take(), undefined, 'nothing changed since');
    await history.close();
    const listed = book.list();
    assert.equal(listed.length, 10_000);
    assert.ok(listed.reduce((sum, { history: entries }) => sum + entries.length, 0) <= HISTORY_ENTRIES_MAX);
    assert.ok(setMs < 4_000, `100,000 changes took ${Math.round(setMs)} ms`);
    const openedAt = processorMs();
    assert.equal((await open()).of('tcp.r9999').at(-1)?.detail, 'round 9');
    assert.ok(processorMs() - openedAt < 4_000);
  });

  it('is kept in memory while the disk refuses it, and says so once', async () => {
    await writeFile(join(folder, 'file'), '');
    path = join(folder, 'file', 'resources.log');
    const history = await open();
    history.add('tcp.web', { at: '2026-01-01T00:00:00Z', value: 'up', detail: '' });
    await history.flush();
    history.add('tcp.web', { at: '2026-01-01T00:00:00Z', value: 'down', detail: '' });
    await history.close();
    assert.equal(history.of('tcp.web').length, 2);
    assert.deepEqual(warnings, ['the history of the resources cannot be kept on disk']);
  });
});
