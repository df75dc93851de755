/** What a killed primary leaves in memory: what was recorded is read again, what was not finished does not count, damage is noticed. */
import assert from 'node:assert/strict';
import { ContinuityMemory } from '../src/continuity/memory.js';
import { ExchangeLog } from '../src/continuity/exchange-log.js';
import { NODE_LOG_AT, NODE_LOG_WORDS_AT } from '../src/continuity/memory.js';
import { copyCounted, NodeLog, replayNodes, requestKey, type LoggedNode } from '../src/continuity/node-log.js';
import { RecentLog, replayRecent } from '../src/continuity/recent-log.js';
import { RecentSet } from '../src/journal/dirty-set.js';

const name = (text: string): Buffer => Buffer.from(text, 'latin1');

describe('the memory of a primary', () => {
  let memory: ContinuityMemory;
  beforeEach(() => {
    memory = ContinuityMemory.create() as ContinuityMemory;
  });
  afterEach(() => {
    memory.release();
  });

  function filled(): NodeLog {
    const log = new NodeLog(memory, () => []);
    log.met(2, 7, '\x00\x04handle\xff', { root: 1 }, name('d'));
    log.lookups(2, 3);
    log.met(3, 8, '\x00\x08other', { nodeId: 2 }, name('f\xfe'));
    log.named(3, { root: 0 }, name('hard'));
    log.unnamed(3, 0);
    log.met(4, 9, '\x00\x08gone', { root: 0 }, name('g'));
    log.gone(4);
    return log;
  }

  it('tells the nodes, their names and counts', () => {
    filled();
    const { nodes, generation } = replayNodes(memory);
    assert.equal(generation, 9);
    assert.deepEqual(nodes, [
      { nodeId: 2, generation: 7, handle: '\x00\x04handle\xff', names: [{ parent: { root: 1 }, name: name('d') }], lookups: 3 },
      { nodeId: 3, generation: 8, handle: '\x00\x08other', names: [{ parent: { root: 0 }, name: name('hard') }], lookups: 0 },
    ]);
  });

  it('does not count a record that was not finished, and notices one that is damaged', () => {
    filled();
    const end = NODE_LOG_WORDS_AT + 1;
    const whole = memory.header[end] as number;
    memory.header[end] = whole - 8;
    assert.equal(replayNodes(memory).nodes.length, 3, 'without its last record the third node is there');
    memory.header[end] = whole - 4;
    assert.throws(() => replayNodes(memory), /a record of 8 bytes/);
    memory.header[end] = whole;
    memory.words(NODE_LOG_AT, 4096)[0] = 0xff000010;
    assert.throws(() => replayNodes(memory), /record type 255/);
  });

  it('is written anew from the table, names and counts included', () => {
    const table: LoggedNode[] = [
      {
        nodeId: 5,
        generation: 1,
        handle: '\x00\x08five',
        lookups: 4,
        names: [
          { parent: { root: 0 }, name: name('one') },
          { parent: { root: 0 }, name: name('two') },
        ],
      },
      { nodeId: 6, generation: 2, handle: '\x00\x08six', lookups: 1, names: [] },
    ];
    const log = new NodeLog(memory, () => table);
    log.met(9, 1, '\x00\x08nine', { root: 0 }, name('nine'));
    log.rewrite();
    assert.deepEqual(replayNodes(memory).nodes, table);
  });

  it('tells for which requests lookups were counted, until they are answered, also to the next successor', () => {
    const log = filled();
    log.serving(10, 0);
    log.counted(2);
    log.counted(3);
    const next = ContinuityMemory.create() as ContinuityMemory;
    try {
      copyCounted(memory, next);
      assert.deepEqual(replayNodes(next).counted, new Map([[requestKey(10, 0x80000000), [2, 3]]]));
    } finally {
      next.release();
    }
    log.answered();
    assert.equal(replayNodes(memory).counted.size, 0);
  });

  it('counts once for a request that comes again and again', () => {
    const log = filled();
    for (const request of [10, 11]) {
      log.serving(request, 0);
      log.counted(2);
    }
    log.recounts(10, 0x80000000);
    log.serving(10, 0x80000000);
    log.counted(3);
    assert.deepEqual(
      replayNodes(memory).counted,
      new Map([
        [requestKey(11, 0), [2]],
        [requestKey(10, 0), [3]],
      ]),
    );
  });

  it('tells what may differ since the last checkpoints, and no longer what both nodes have flushed', () => {
    const recent = new RecentSet(new RecentLog(memory));
    const names = (): string[] => [...replayRecent(memory).directories.values()].flatMap((directory) => [...directory.names]).sort();
    recent.touchName('dir', 1n, name('a'));
    recent.touchData('file', 1 << 20, 70_000, 'dir', name('a'));
    recent.cut();
    recent.touchName('dir', 1n, name('b'));
    assert.deepEqual(names(), ['a', 'b']);
    assert.deepEqual(replayRecent(memory).objects, recent.all().objects);
    recent.forgetPrevious();
    assert.deepEqual(names(), ['b']);
    assert.equal(replayRecent(memory).objects.size, 0);
    // Checkpoints that never finish: nothing is lost when no area is left.
    for (let cut = 0; cut < 10; cut += 1) {
      recent.cut();
      recent.touchName('dir', 1n, name(`c${cut}`));
    }
    assert.equal(names().length, 11);
    recent.clear();
    assert.deepEqual(names(), []);
  });

  it('remembers what the last exchanges were to move', () => {
    const log = new ExchangeLog(memory);
    for (let request = 1; request <= 20; request += 1) log.begins(request, 0, `handle ${request}`);
    assert.equal(log.movedBy(20, 0x80000000), 'handle 20');
    assert.equal(log.movedBy(1, 0), undefined);
  });

  it('is not believed after it was given up, nor without a kernel that sends requests again', () => {
    assert.equal(ContinuityMemory.adopt(memory.fd), undefined);
    memory.kernelResends();
    assert.notEqual(ContinuityMemory.adopt(memory.fd), undefined);
    memory.giveUp();
    assert.equal(ContinuityMemory.adopt(memory.fd), undefined);
  });
});
