/** What applications may do besides reading and writing: on both nodes, and through every kind of resync. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { assertIdentical, generation, Lab, SYNC_MODES, term, until, type LabNode, type RunResult } from './lab.js';

const UNNAMED = fileURLToPath(new URL('./unnamed-process.js', import.meta.url));
const REQUESTS = fileURLToPath(new URL('./requests-process.js', import.meta.url));
const AS_USER = 'setpriv --reuid=1000 --regid=1000 --clear-groups';

for (const sync of SYNC_MODES) {
  describe(`a replicated pair and POSIX (sync ${sync})`, function () {
    this.timeout(120_000);
    posix(sync);
  });
}

function posix(sync: (typeof SYNC_MODES)[number]): void {
  let lab: Lab;
  beforeEach(() => {
    lab = new Lab({ sync });
  });
  afterEach(() => lab.close());

  /** Connected, identical, and never repaired on the way. */
  async function assertUndisturbed(a: LabNode, b: LabNode): Promise<void> {
    await assertIdentical(a, b);
    assert.equal(a.status.link, 'connected');
    assert.equal(b.status.inconsistent, false);
    assert.doesNotMatch(a.log.join('\n'), /repaired/);
  }

  async function settled(condition: () => Promise<boolean>): Promise<void> {
    const deadline = performance.now() + 15_000;
    while (!(await condition())) assert.ok(performance.now() < deadline, 'the trees do not become the same');
  }

  async function loseSecondary(a: LabNode, b: LabNode): Promise<void> {
    await b.kill();
    await a.reach('holding');
    await a.call({ call: 'continueAlone', term: term(2), base: generation(1) });
  }

  async function rejoin(a: LabNode, b: LabNode, mode: 'journal' | 'compare' = 'journal'): Promise<void> {
    await b.start();
    await b.becomeSecondary(2);
    await a.connectPeer(2, mode);
    await a.reach('connected');
    await assertIdentical(a, b);
  }

  const ATTRIBUTES = [
    'echo text > file',
    'mkdir dir',
    'ln -s nowhere link',
    'mkfifo pipe',
    'setfattr -n user.color -v blue file',
    'setfattr -n user.long -v "$(head -c 1500 /dev/zero | tr "\\0" x)" file',
    'setfattr -n trusted.secret -v t dir',
    'setfattr -h -n trusted.onlink -v l link',
    'setfattr -n security.mine -v s pipe',
    'setfacl -m u:1000:rwx,g:1002:r-x file',
    'setfacl -d -m u:1000:rwx,m::rwx dir',
    'setfattr -n user.root -v r .',
  ].join(' && ');

  it('has extended attributes and ACLs on every kind of object', async () => {
    const { a, b } = await lab.connectedPair();
    await a.must(ATTRIBUTES);
    assert.match(await b.must('getfattr -n user.color file'), /blue/);
    assert.match(await b.must('getfacl -n dir'), /default:user:1000:rwx/);
    assert.match(await a.must('getfattr -m - -d dir'), /trusted\.secret/);
    assert.doesNotMatch(await a.must(`${AS_USER} getfattr -m - dir`), /trusted/);
    await assertUndisturbed(a, b);
    await a.must('setfattr -x user.long file && setfacl -b file && setfacl -k dir && setfattr -n user.color -v red file');
    await assertUndisturbed(a, b);
    assert.doesNotMatch(await b.must('getfacl -n dir'), /default/);
  });

  it('copies extended attributes in a resync by journal, and in a comparison', async () => {
    const { a, b } = await lab.connectedPair();
    await a.must('echo old > old && setfattr -n user.old -v o old && setfattr -n user.keep -v k old');
    await assertIdentical(a, b);
    await loseSecondary(a, b);
    await a.must(`${ATTRIBUTES} && setfattr -x user.old old && setfattr -n user.new -v n old`);
    await rejoin(a, b);
    assert.equal(a.status.lastResync?.mode, 'journal');
    // And changed behind the back of both.
    await b.stop();
    await a.reach('holding');
    await a.call({ call: 'continueAlone', term: term(3), base: generation(2) });
    await b.must('setfattr -n user.wrong -v w old file dir && setfacl -b file && setfattr -x trusted.secret dir && chmod 777 old');
    await b.becomeSecondary(3);
    await a.connectPeer(3, 'compare');
    await a.reach('connected');
    await assertIdentical(a, b);
  });

  it('hides what is its own, and does not let it be changed', async () => {
    const { a, b } = await lab.connectedPair();
    await a.must('echo x > file');
    assert.equal(await a.must('getfattr -m - file'), '');
    assert.match((await a.run('getfattr -n trusted.holdfast.id file')).output, /No such attribute/);
    for (const command of ['setfattr -n trusted.holdfast.id -v 12345678', 'setfattr -x trusted.holdfast.id']) {
      assert.match((await a.run(`${command} file`)).output, /Operation not permitted/);
    }
    assert.match((await a.run('setfattr -n system.other -v x file')).output, /not supported/);
    await assertUndisturbed(a, b);
  });

  it('lets ACLs decide, gives those of a directory to what is made in it, and applies the umask where there is none', async () => {
    const { a, b } = await lab.connectedPair();
    await a.must('echo x > file && chmod 600 file && mkdir plain dir && chmod 777 plain dir');
    assert.notEqual((await a.run(`${AS_USER} cat file`)).code, 0);
    await a.must(`setfacl -m u:1000:r file && ${AS_USER} cat file`);
    // The mask takes it away, chmod gives it back.
    await a.must('chmod g= file');
    assert.notEqual((await a.run(`${AS_USER} cat file`)).code, 0);
    await a.must(`chmod g=r file && ${AS_USER} cat file && setfacl -x u:1000 file`);
    assert.notEqual((await a.run(`${AS_USER} cat file`)).code, 0);
    await a.must('setfacl -d -m u:1001:rwx,g::rx,o::- dir');
    await a.must(`umask 077 && for d in plain dir; do (cd $d && ${AS_USER} sh -c 'umask 077; echo > f; mkdir d; mkfifo p'); done`);
    assert.equal(await a.must('stat -c %a plain/f plain/d plain/p dir/f dir/d dir/p'), '600\n700\n600\n660\n770\n660\n');
    assert.match(await b.must('getfacl -n dir/d'), /user:1001:rwx[^]*default:user:1001:rwx/);
    await assertUndisturbed(a, b);
  });

  it('clears file capabilities, setuid and setgid when content or owner change', async () => {
    const { a, b } = await lab.connectedPair();
    const names = ['write', 'cut', 'allocate', 'own', 'shared'];
    await a.must(`for f in ${names.join(' ')}; do cp /bin/true $f && chmod 6777 $f; done`);
    await a.must(`${AS_USER} sh -c 'echo >> write; : > cut; fallocate -l 100000 allocate'; chown 5:5 own`);
    // Opened by root, written by somebody else.
    await a.must(`exec 9>> shared && ${AS_USER} sh -c 'echo >&9'`);
    assert.equal(await a.must(`stat -c %a ${names.join(' ')}`), '777\n'.repeat(5));
    await a.must('cp /bin/true capable && setcap cap_net_raw+ep capable && getcap capable');
    assert.match(await b.must('getcap capable'), /cap_net_raw/);
    await a.must('cp -p capable second && setcap cap_net_raw+ep second && chmod 4755 second');
    await a.must('echo >> capable && chown 5 second');
    assert.equal(await a.must('getcap capable second; stat -c %a second'), '755\n');
    assert.equal(await b.must('getcap capable second; stat -c %a second'), '755\n');
    await assertUndisturbed(a, b);
  });

  describe('with files that have no name', () => {
    /** Starts an application with one; `go` lets it go on to its end. */
    async function application(node: LabNode, name: string): Promise<{ go(): Promise<RunResult> }> {
      const signal = join(lab.base, `signal-${name}`);
      const running = node.run(`exec ${process.execPath} ${UNNAMED} ${name} ${signal}`);
      const ended = running.then(({ code, output }) => {
        throw new Error(`the application ended with ${code}: ${output}`);
      });
      await Promise.race([
        ended,
        until(
          () => existsSync(`${signal}.ready`),
          () => 'the application',
        ),
      ]);
      ended.catch(() => undefined);
      return {
        go: async () => {
          writeFileSync(`${signal}.go`, '');
          const result = await running;
          assert.equal(result.code, 0, result.output);
          return result;
        },
      };
    }

    /** Removed files that the replicator keeps open. */
    function deleted(node: LabNode): number {
      const directory = `/proc/${node.replicatorPid}/fd`;
      const targets = readdirSync(directory).map((fd) => {
        try {
          return readlinkSync(join(directory, fd));
        } catch {
          return '';
        }
      });
      return targets.filter((target) => target.endsWith(' (deleted)') && !target.startsWith('/memfd:')).length;
    }

    it('gives them a name on both nodes, with everything in them', async () => {
      const { a, b } = await lab.connectedPair();
      await (await application(a, 'named')).go();
      assert.equal((await b.must('stat -c "%s %a %u %g %h" named')).trim(), '400003 640 12 34 1');
      assert.match(await b.must('getfattr -n user.label named'), /label/);
      await assertUndisturbed(a, b);
    });

    it('keeps nothing of them when they get none', async () => {
      const { a, b } = await lab.connectedPair();
      const before = deleted(b);
      const unnamed = await application(a, '-');
      assert.equal(deleted(b), before + 1, 'the secondary has it too');
      await unnamed.go();
      await until(
        () => deleted(b) === before && deleted(a) === 0,
        () => `removed files to be closed: ${deleted(a)} and ${deleted(b)} are open`,
      );
      await assertUndisturbed(a, b);
    });

    it('repairs the secondary when it was not there when they were made', async () => {
      const { a, b } = await lab.connectedPair();
      await loseSecondary(a, b);
      const [early, late] = [await application(a, 'early'), await application(a, 'late')];
      await early.go();
      await rejoin(a, b);
      await late.go();
      await a.reach('connected');
      await assertIdentical(a, b);
      assert.match(a.log.join('\n'), /repaired/);
      assert.equal((await b.must('stat -c %s early late')).trim(), '400003\n400003');
    });

    it('names them alone after the secondary was lost, and copies them to it', async () => {
      const { a, b } = await lab.connectedPair();
      const unnamed = await application(a, 'later');
      await loseSecondary(a, b);
      await unnamed.go();
      await rejoin(a, b);
      assert.equal(a.status.lastResync?.mode, 'journal');
      assert.equal((await b.must('stat -c %s later')).trim(), '400003');
    });

    it('leaves nothing of them after the primary was killed', async () => {
      const { a, b } = await lab.connectedPair();
      await a.must('echo x > file');
      const unnamed = await application(a, 'never');
      await a.kill();
      await b.reach('none');
      await assert.rejects(unnamed.go(), /EIO|ENOTCONN|ECONNABORTED|failed with -107/);
      assert.equal(deleted(b), 0);
      await b.becomePrimary(2, { base: 1 });
      assert.equal(await b.must('ls -A'), 'file\n');
      await a.start();
      await a.becomeSecondary(2);
      await b.connectPeer(2, 'journal');
      await b.reach('connected');
      await assertIdentical(b, a);
    });
  });

  it('carries overlayfs', async () => {
    const { a, b } = await lab.connectedPair();
    await a.must(
      'mkdir lower upper work merged && mkdir -p lower/d/e && echo lower > lower/d/file && echo 2 > lower/d/e/two && chown -R 0 lower',
    );
    await a.must('mount -t overlay none -o lowerdir=lower,upperdir=upper,workdir=work merged');
    try {
      await a.must('cd merged && rm d/file && echo upper > d/new && mv d/e d/moved && rm -r d/moved && mkdir d/e && echo 3 > d/e/three');
      assert.equal(await a.must('find merged -type f | sort | xargs cat'), '3\nupper\n');
    } finally {
      await a.run('umount merged');
    }
    assert.match(await b.must('getfattr -m - -R upper'), /trusted\.overlay\.opaque/);
    assert.equal(await b.must('stat -c %F,%t,%T upper/d/file'), 'character special file,0,0\n');
    await assertUndisturbed(a, b);
  });

  it('refuses what an immutable backing file does not allow, without disturbing the pair', async () => {
    const { a, b } = await lab.connectedPair();
    await a.must('mkdir dir && echo x > dir/fixed && echo y > dir/log && echo z > dir/free && cat dir/*');
    const chattr = async (flags: string, name: string): Promise<void> => {
      const { code, output } = await a.run(`cd / && chattr ${flags} '${a.tree}/${name}'`);
      assert.equal(code, 0, output);
    };
    await chattr('+i', 'dir/fixed');
    await chattr('+a', 'dir/log');
    try {
      for (const command of [
        '/bin/echo more >> fixed',
        'chmod 600 fixed',
        'setfattr -n user.a -v b fixed',
        'rm -f fixed',
        'mv fixed other',
        'mv free fixed',
        'ln fixed other',
        'rm -f log',
        'truncate -s 0 log',
      ]) {
        const { code, output } = await a.run(`cd dir && ${command}`);
        assert.notEqual(code, 0, command);
        // What is written back is refused when the file is closed, and that is always EIO.
        assert.match(output, sync === 'fsync' && command.includes('echo') ? /write error/ : /Operation not permitted/, command);
      }
      await a.run('lsattr dir; chattr +i dir/free');
      await chattr('+i', 'dir');
      for (const command of ['touch new', 'rm -f free', 'mv free other', 'mkdir sub']) {
        assert.match((await a.run(`cd dir && ${command}`)).output, /Operation not permitted/, command);
      }
    } finally {
      for (const name of ['dir', 'dir/fixed', 'dir/log']) await chattr('-ia', name);
    }
    await a.must('rm -r dir');
    await assertUndisturbed(a, b);
  });

  it('takes times that no clock shows', async () => {
    const { a, b } = await lab.connectedPair();
    await a.must('touch -d "1901-12-14 00:00:00.000000001 UTC" old && touch -d "2200-01-01 00:00:00.999999999 UTC" new && touch odd');
    await a.must(`${process.execPath} ${REQUESTS} odd-times odd`);
    assert.match(await b.must('stat -c %y old new'), /1901-12-14 .*\.000000001[^]*2200-01-01 .*\.999999999/);
    await assertUndisturbed(a, b);
  });

  it('knows directories that are deeper than a path can be', async () => {
    const { a, b } = await lab.connectedPair();
    const at = (node: LabNode, levels: number, command: string): Promise<string> =>
      node.must(`${process.execPath} ${REQUESTS} at ${levels} '${command}'`);
    await a.must(`${process.execPath} ${REQUESTS} down 600`);
    const shown = "find . -path ./.holdfast -prune -o -printf '%d %f %m %T@\\n'";
    assert.equal((await a.must(shown)).split('\n').length, 603);
    await settled(async () => (await b.must(shown)) === (await a.must(shown)));
    await loseSecondary(a, b);
    await at(a, 550, 'echo more > more; mv directory moved');
    await b.start();
    await b.becomeSecondary(2);
    await a.connectPeer(2, 'journal');
    await a.reach('connected');
    assert.equal(a.status.lastResync?.mode, 'journal');
    assert.equal(await at(b, 550, 'cat more; ls'), 'more\nmore\nmoved\n');
    assert.equal(await b.must(shown), await a.must(shown));
    await a.must('rm -r directory');
    await assertIdentical(a, b);
  });

  it('lists a large directory completely while it changes', async () => {
    const { a, b } = await lab.connectedPair();
    assert.equal(await a.must(`${process.execPath} ${REQUESTS} large 4000`), '');
    await assertUndisturbed(a, b);
  });

  it('keeps both nodes the same under overlapping direct writes of several processes', async () => {
    const { a, b } = await lab.connectedPair();
    await a.must(
      'fio --name=w --filename=direct --size=2m --bs=4k --rw=randwrite --ioengine=libaio --direct=1 --iodepth=16 --numjobs=3 ' +
        '--norandommap --io_size=4m --group_reporting > /dev/null && ' +
        'for j in 1 2 3 4; do (i=0; while [ $i -lt 100 ]; do echo $j $i >> appended; i=$((i+1)); done) & done; wait',
    );
    assert.equal((await a.must('sort -u appended | wc -l')).trim(), '400');
    await assertUndisturbed(a, b);
  });
}
