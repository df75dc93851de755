/** Scripts, hooks, watched processes and services, custom checkers and the virtual host name, on whole nodes. */
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import type { ModuleView } from '@holdfast/core';
import type { CommandResult } from '../lab/command.js';
import { HOLDFAST, LabCluster } from '../lab/cluster.js';
import { waitFor } from '../lab/deadline.js';
import type { LabMachine } from '../lab/machine.js';

const MODULE = fileURLToPath(new URL('../../e2e/scripts-mirror', import.meta.url));
const STATE = '/var/lib/holdfast/modules/scripts-mirror';
const WAIT_MS = 30_000;

/** Answers for one service whose main process is real. */
const SYSTEMCTL = `#!/bin/bash
pid=$(cat /run/watched.pid 2>/dev/null || echo none)
case $1 in
start) [ -d "/proc/$pid" ] || { (exec -a watched-main sleep 100000 >/dev/null 2>&1 & echo $! >/run/watched.pid); } ;;
stop) [ "$pid" = none ] || kill -9 "$pid"; rm -f /run/watched.pid ;;
show)
  if [ -d "/proc/$pid" ]; then echo "LoadState=loaded"; echo "ActiveState=active"; echo "SubState=running"; echo "MainPID=$pid"
  else echo "LoadState=loaded"; echo "ActiveState=failed"; echo "SubState=failed"; echo "MainPID=0"; echo "Result=signal"; fi ;;
esac
exit 0
`;

interface Resource {
  readonly value: string;
  readonly detail: string;
}

describe('scripts of a module', () => {
  let cluster: LabCluster;
  let node: LabMachine;

  const holdfast = (...words: string[]): Promise<CommandResult> => node.exec([process.execPath, HOLDFAST, ...words], { timeoutMs: 60_000 });
  const shell = (script: string): Promise<string> => node.run(['bash', '-c', script]);
  const trace = async (): Promise<readonly string[]> => (await shell(`cat ${STATE}/var/trace`)).trim().split('\n');
  const forgetTrace = (): Promise<string> => shell(`: > ${STATE}/var/trace`);
  const resource = async (name: string): Promise<Resource> =>
    JSON.parse((await holdfast('get', '-m', 'scripts-mirror', '-r', name, '--json')).stdout) as Resource;
  const becomes = (name: string, value: string): Promise<unknown> =>
    waitFor(`${name} is ${value}`, WAIT_MS, async () => (await resource(name)).value === value);
  const traced = (expression: RegExp): Promise<unknown> =>
    waitFor(`${String(expression)} in the trace`, WAIT_MS, async () => (await trace()).some((line) => expression.test(line)));
  /** Asks the agent: what is seen of a node without asking is a moment old, and may be the state of before. */
  const ready = (): Promise<unknown> =>
    waitFor('the module is ALONE Ready', WAIT_MS, async () => {
      const { phase, quality } = JSON.parse((await holdfast('state', '-m', 'scripts-mirror', '--json')).stdout) as ModuleView;
      return phase === 'ALONE' && quality === 'Ready';
    });
  const pidOf = async (expression: string): Promise<string> => (await node.exec(['pgrep', '-of', expression])).stdout.trim();

  before(async () => {
    cluster = await LabCluster.create({ module: MODULE, clients: [] });
    node = cluster.machine('n1');
    await node.run(['mkdir', '-p', '/run/systemd/system']);
    await node.writeFile('/run/systemctl', SYSTEMCTL, 0o755);
    await node.run(['mount', '--bind', '/run/systemctl', '/usr/bin/systemctl']);
    await cluster.command('n1', 'prim');
    await cluster.waitFor({ n1: 'ALONE Ready' }, 60_000);
  });
  after(async () => {
    await cluster.close();
  });

  it('run in their order with three arguments, and those of the primary under the virtual host name', async () => {
    const lines = await trace();
    const from = lines.findIndex((line) => line.startsWith('transition STOP WAIT'));
    assert.deepEqual(
      lines.slice(from).filter((line) => !line.startsWith('watch_door')),
      [
        'transition STOP WAIT start @n1',
        'prestart STOP WAIT start @n1',
        'stop_prim STOP WAIT start @n1',
        'transition WAIT ALONE start @n1',
        'start_both WAIT ALONE start @n1',
        'start_prim WAIT ALONE start @books-virtual',
        'start_sec WAIT ALONE start @n1',
      ],
    );
    assert.equal(await shell('hostname'), 'n1\n');
  });

  it('have the names of the reference product in their environment, and each <var>', async () => {
    const environment = await shell(`cat ${STATE}/var/environment`);
    for (const line of [
      'SAFEMODULE=scripts-mirror',
      `SAFEUSERBIN=${STATE}/applied/bin`,
      `SAFEUSERCONF=${STATE}/applied/conf`,
      `SAFEUSERVAR=${STATE}/var`,
      'SAFEVAR=/var/lib/holdfast',
      'GREETING=hello world',
      'HOLDFAST_NODE=n1',
      'HOLDFAST_API=http://127.0.0.1:9010',
    ]) {
      assert(environment.split('\n').includes(line), `${line} in ${environment}`);
    }
    assert.match(await shell(`cat ${STATE}/applied/conf/safeconf.xml`), /server\\\.mjs/);
    const { stdout } = await holdfast('log', '-m', 'scripts-mirror', '--json');
    assert.match(stdout, /the server is started with hello world/);
    assert.match(await shell(`ls ${STATE}/logs`), /^userlog_\d{8}T\d{6}\.\d{3}_start_prim\.ulog$/m);
  });

  it('hand the virtual host name on to the server that they start', async () => {
    const said = await waitFor('the server answers', WAIT_MS, async () => {
      const { code, stdout } = await node.exec(['curl', '-s', '--max-time', '2', 'http://127.0.0.1:8088/']);
      return code === 0 ? stdout : undefined;
    });
    assert.equal(said, 'books-virtual');
    assert.match(await shell(`. ${STATE}/applied/bin/vhostenv; nsenter --uts="$HOLDFAST_VIRTUAL_HOST" hostname`), /^books-virtual$/m);
  });

  it('restart the application when its process dies, and the stop scripts are called again with force', async () => {
    await becomes('proc.server\\.mjs', 'up');
    await forgetTrace();
    await shell(`kill -9 ${await pidOf('^server.mjs ')}`);
    await traced(/^start_prim ALONE ALONE restart @books-virtual$/);
    await ready();
    await becomes('proc.server\\.mjs', 'up');
    const lines = await trace();
    assert(lines.includes('stop_prim ALONE ALONE restart @books-virtual'), lines.join('\n'));
    assert(lines.includes('stop_prim force ALONE ALONE restart @books-virtual'), lines.join('\n'));
  });

  it('are told which services to restart when one of them dies', async () => {
    await becomes('proc.watched', 'up');
    await forgetTrace();
    await shell('kill -9 $(cat /run/watched.pid)');
    await traced(/^start_prim ALONE ALONE restart -Services watched, helper @books-virtual$/);
    await ready();
    await becomes('proc.watched', 'up');
  });

  it('answer for a class of processes while it is enabled, in place of an action', async () => {
    assert.equal((await resource('proc.^nightly-job ')).value, 'init');
    await forgetTrace();
    assert.equal((await holdfast('errd', 'enable', 'nightly', '-m', 'scripts-mirror')).code, 0);
    await traced(/^on_nightly scripts-mirror proc\.\^nightly-job {2}0 of 1 process @books-virtual$/);
    assert.equal(cluster.state('n1'), 'ALONE Ready');
    const job = node.spawn(['bash', '-c', 'exec -a nightly-job sleep 600']);
    await becomes('proc.^nightly-job ', 'up');
    assert.equal((await holdfast('errd', 'disable', 'nightly', '-m', 'scripts-mirror')).code, 0);
    job.signal('SIGKILL');
    await becomes('proc.^nightly-job ', 'init');
    assert.match((await holdfast('errd', 'enable', 'nigthly', '-m', 'scripts-mirror')).stderr, /classes: fragile, nightly/);
  });

  it('that answer and fail lead to a stopstart, after which the class is off again', async () => {
    await forgetTrace();
    await holdfast('errd', 'enable', 'fragile', '-m', 'scripts-mirror');
    await traced(/^cannot_help scripts-mirror/);
    await traced(/^stop_prim ALONE WAIT stopstart/);
    await ready();
    assert.equal((await resource('proc.^fragile-job ')).value, 'init');
  });

  it('that never end watch something and say what they found', async () => {
    await becomes('custom.door', 'up');
    await traced(/^watch_door scripts-mirror custom\.door front back @books-virtual$/);
    await forgetTrace();
    await shell(`echo down > ${STATE}/var/door`);
    await traced(/^stop_prim ALONE WAIT stopstart/);
    await shell(`rm ${STATE}/var/door`);
    await ready();
    await becomes('custom.door', 'up');
    // A moment ago there may have been two: the script's own, and its shell's for a command.
    await waitFor(
      'one script watches the door',
      WAIT_MS,
      async () => (await node.exec(['pgrep', '-fc', '[w]atch_door scripts-mirror'])).stdout === '1\n',
    );
  });

  it('whose exit status is a verdict may hang, multiply and write without end', async () => {
    await becomes('custom.queue', 'up');
    assert.equal((await resource('custom.queue')).detail, 'queue_is_short: hello world from scripts-mirror, 2 arguments, on books-virtual');
    await becomes('custom.wild', 'down');
    assert.equal((await resource('custom.wild')).detail, 'runs_wild did not end within 500 ms');
    await becomes('custom.loud', 'up');
    assert.match((await resource('custom.loud')).detail, /quiet now$/);
    // One run at a time, and nothing is left of those before.
    const children = Number((await node.exec(['pgrep', '-fc', '^wild-child'])).stdout);
    assert(children <= 20, `${children} children of the script that runs wild`);
  });

  it('can refuse a configuration', async () => {
    await shell('touch /run/refuse-configuration');
    const refused = await holdfast('module', 'config', '-m', 'scripts-mirror', '--check');
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /script confcheck refuses it.*the licence does not allow it.*HF_HOOK_REFUSED/s);
    await shell('rm /run/refuse-configuration');
    assert.equal((await holdfast('module', 'config', '-m', 'scripts-mirror', '--check')).code, 0);
  });

  it('of a module that depends on this one run anew when this one was restarted', async () => {
    const module = '/etc/holdfast/modules/dependent';
    await holdfast('module', 'install', '/etc/holdfast/modules/scripts-mirror', '-m', 'dependent');
    const watch = '<check><module name="scripts-mirror"><to port="9010" interval="3s"/></module></check>';
    const heart = '<heart><heartbeat name="default"/></heart>';
    await node.writeFile(`${module}/conf/userconfig.xml`, `<safe><service mode="mirror">${heart}${watch}</service></safe>`);
    for (const words of [['module', 'config'], ['prim']]) {
      const { code, stderr } = await holdfast(...words, '-m', 'dependent');
      assert.equal(code, 0, stderr);
    }
    interface View {
      readonly phase: string;
      readonly quality: string;
      readonly applicationSince?: string;
    }
    const view = async (): Promise<View> => JSON.parse((await holdfast('state', '-m', 'dependent', '--json')).stdout) as View;
    const serves = async (): Promise<string | undefined> => {
      const { phase, quality, applicationSince } = await view();
      return phase === 'ALONE' && quality === 'Ready' ? applicationSince : undefined;
    };
    const before = await waitFor('the dependent module serves', WAIT_MS, serves);
    await waitFor('it has asked since it serves', WAIT_MS, async () => {
      const { stdout } = await holdfast('get', '-m', 'dependent', '-r', 'module.scripts-mirror_127.0.0.1.restart', '--json');
      return (JSON.parse(stdout) as Resource).detail.startsWith('its application runs since');
    });
    await cluster.command('n1', 'restart');
    await waitFor('its application runs anew', WAIT_MS, async () => {
      const since = await serves();
      return since !== undefined && since !== before;
    });
    await holdfast('stop', '-m', 'dependent', '--wait');
    await ready();
  });

  it('leave nothing when the module stops', async () => {
    await forgetTrace();
    await cluster.command('n1', 'stop');
    await cluster.waitFor({ n1: 'STOP NotReady' }, WAIT_MS);
    const lines = (await trace()).map((line) => line.split(' @')[0]);
    assert(lines.includes('stop_prim ALONE STOP stop') && lines.includes('stop_prim force ALONE STOP stop'), lines.join('\n'));
    assert.equal(lines.at(-1), 'transition ALONE STOP stop');
    for (const expression of ['server.mjs', 'wild-child', '[w]atch_door', 'watched-main']) {
      await waitFor(`no ${expression} runs`, WAIT_MS, async () => (await pidOf(expression)) === '');
    }
  });
});
