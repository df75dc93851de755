/** The page about scripts and checks of existing modules says what the code does: each of its examples is tried with our plug-ins. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Log } from '@holdfast/sdk';
import { HoldfastError } from '@holdfast/sdk';
import type * as Config from '../../core/src/config/index.js';
import type * as Hooks from '../../core/src/engine/script-hooks.js';
import type * as Host from '../../core/src/host/index.js';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const PAGE = readFileSync(join(ROOT, 'core/docs/scripts-and-checks.md'), 'utf8');
const HEART = '<heart><heartbeat name="default"/></heart>';
const ERRD = '<errd><proc name="main"/></errd>';
const CLUSTER =
  '<cluster><lans><lan name="default"><node name="n1" addr="10.0.0.1"/><node name="n2" addr="10.0.0.2"/></lan></lans></cluster>';

/** What the elements of the reference product have. */
const ATTRIBUTES: Readonly<Record<string, readonly string[]>> = {
  user: ['nicestoptimeout', 'forcestoptimeout', 'logging', 'userlogsize'],
  var: ['name', 'value'],
  virtualhostname: ['name', 'envfile', 'when'],
  errd: ['polltimer'],
  proc: ['name', 'service', 'nameregex', 'argregex', 'class', 'action', 'restart_services', 'start_after', 'atleast', 'atmax'],
  tcp: ['ident', 'when', 'action'],
  'tcp/to': ['addr', 'port', 'interval', 'timeout'],
  ping: ['ident', 'when', 'action'],
  'ping/to': ['addr', 'interval', 'timeout'],
  intf: ['ident', 'when'],
  'intf/to': ['local_addr'],
  ip: ['ident', 'when'],
  'ip/to': ['addr', 'interval'],
  custom: ['ident', 'when', 'exec', 'arg', 'action'],
  module: ['ident', 'name'],
  'module/to': ['addr', 'port', 'interval', 'timeout', 'secure'],
  splitbrain: ['ident', 'exec', 'arg'],
};
const SCRIPTS = ['prestart', 'poststop', 'transition', 'update', 'config', 'postconfig', 'deconfig', 'confcheck', 'state', 'level'];
const GROUPS = ['prim', 'both', 'second', 'sec'];

const log: Log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

function rows(columns: number): readonly (readonly string[])[] {
  return PAGE.split('\n')
    .filter((line) => line.startsWith('| '))
    .map((line) =>
      line
        .slice(1, -1)
        .split('|')
        .map((cell) => cell.trim()),
    )
    .filter((cells) => cells.length === columns && !['element', 'script'].includes(cells[0] ?? ''));
}

/** The core's packages export none of this. */
function load<T>(path: string): Promise<T> {
  return import(join(ROOT, 'core/dist/src', path)) as Promise<T>;
}

describe('the page about scripts and checks of existing modules', () => {
  let parse: (fragment: string) => void;
  let state = '';
  let host: Host.PluginHost;

  before(async () => {
    state = mkdtempSync(join(tmpdir(), 'holdfast-table-'));
    const { parseCluster, parseModule } = await load<typeof Config>('config/index.js');
    const { PluginHost, discoverPlugins } = await load<typeof Host>('host/index.js');
    host = new PluginHost({ stateDirectory: state, logOf: () => log });
    await host.load(await discoverPlugins([join(ROOT, 'plugins')]));
    const cluster = parseCluster(CLUSTER, 'cluster.xml');
    const elements = host.elements();
    const refusalOf: Config.ParseModuleOptions['refusalOf'] = ({ point, type, value }) => {
      if (point !== 'checker') return undefined;
      try {
        host.registry.get('checker', type)?.create({ module: 'books', localNode: 'n1', configuration: value, log });
        return undefined;
      } catch (error) {
        if (error instanceof HoldfastError) return error;
        throw error;
      }
    };
    parse = (fragment) => {
      const user = fragment.startsWith('<user') ? '' : '<user/>';
      const xml = `<!DOCTYPE safe>\n<safe><service mode="mirror">${HEART}${user}\n${fragment}\n</service></safe>`;
      parseModule(xml, 'userconfig.xml', { name: 'books', id: 1, cluster, environment: {}, elements, refusalOf });
    };
    parse(ERRD);
  });
  after(async () => {
    await host.stop();
    rmSync(state, { recursive: true, force: true });
  });

  it('has every attribute of the reference product', () => {
    const listed = new Set(rows(5).map(([element, attribute]) => `${element} ${attribute}`));
    const missing = Object.entries(ATTRIBUTES).flatMap(([element, names]) => names.map((name) => `${element} ${name}`));
    assert.deepEqual(
      missing.filter((name) => !listed.has(name)),
      [],
    );
  });

  it('has examples that are accepted or refused as it says, the refused ones at their place', () => {
    assert(rows(5).length > 60);
    for (const [element = '', attribute = '', cell = '', here = '', why = ''] of rows(5)) {
      const example = cell.replace(/^`(.*)`$/, '$1');
      assert(
        example.includes(`<${element.split('/').at(-1)} `) && example.includes(`${attribute}=`),
        `${example} shows ${element} ${attribute}`,
      );
      if (here === 'refused') {
        assert.notEqual(why, '');
        assert.throws(
          () => parse(example),
          (error: Error) => /^HF_\w+: userconfig\.xml:3:\d+: /.test(error.message),
          example,
        );
      } else {
        assert(here === 'supported' || (here === 'differs' && why !== ''), `${example} is ${here}`);
        parse(example);
      }
    }
  });

  it('has every script of the reference product, and says what is never run', async () => {
    const listed = new Map(rows(3).flatMap(([names = '', here = '']) => names.split(', ').map((name) => [name, here] as const)));
    const all = [...SCRIPTS, ...GROUPS.flatMap((group) => [`start_${group}`, `stop_${group}`])];
    assert.deepEqual([...listed.keys()].sort(), all.sort());
    const { NEVER_RUN } = await load<typeof Hooks>('engine/script-hooks.js');
    assert.deepEqual(
      NEVER_RUN.map((name) => listed.get(name)),
      NEVER_RUN.map(() => 'not run'),
    );
  });
});
