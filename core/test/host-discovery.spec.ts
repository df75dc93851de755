import assert from 'node:assert/strict';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type RefusedPlugin, contributedElements, discoverPlugins } from '../src/host/index.js';
import { checkCompatibility, currentEnvironment } from '../src/host/compatibility.js';
import { checkManifest } from '../src/host/manifest.js';
import { type Manifest, PluginYard } from './host-fixtures.js';

describe('discovery of plug-ins', () => {
  let yard: PluginYard;

  beforeEach(async () => {
    yard = await PluginYard.create();
  });

  afterEach(() => yard.remove());

  const ids = async (): Promise<string[]> => (await yard.discover()).map(({ id, state }) => `${id} ${state}`);

  /** The only refusal, which must be for `code` and name the plug-in. */
  const refused = async (code: string, message: RegExp): Promise<RefusedPlugin> => {
    const found = (await yard.discover()).filter((plugin) => plugin.state === 'refused');
    assert.equal(found.length, 1, JSON.stringify(found));
    const [plugin] = found;
    assert.ok(plugin !== undefined);
    assert.equal(plugin.error.code, code, plugin.error.message);
    assert.match(plugin.error.message, message);
    assert.ok(plugin.error.message.includes(`plug-in "${plugin.id}"`), plugin.error.message);
    return plugin;
  };

  const refusedManifest = async (change: Manifest, code: string, message: RegExp): Promise<void> => {
    await yard.add('probe', change);
    await yard.add('good');
    await refused(code, message);
    assert.deepEqual(await ids(), ['good verified', 'probe refused']);
  };

  it('verifies a good plug-in without running its code', async () => {
    await yard.add('good', {}, 'throw new Error("was run");');
    const [plugin] = await yard.discover();
    assert.equal(plugin?.state, 'verified');
    assert.equal(plugin.main, join(yard.plugins, 'good', 'index.js'));
    assert.deepEqual(plugin.elements, []);
  });

  it('accepts what the plug-ins of this repository declare', async () => {
    const plugins = fileURLToPath(new URL('../../../../plugins', import.meta.url));
    const found = (await discoverPlugins([plugins])).filter(({ state }) => state === 'refused') as RefusedPlugin[];
    // Their main may not be built yet when only the core is.
    assert.deepEqual(
      found.filter(({ error }) => error.code !== 'HF_PLUGIN_PATH').map(({ error }) => error.message),
      [],
    );
  });

  it('finds nothing in a directory that does not exist, and ignores folders without plugin.json', async () => {
    assert.deepEqual(await discoverPlugins([join(yard.root, 'absent')]), []);
    await mkdir(join(yard.plugins, 'node_modules'));
    await writeFile(join(yard.plugins, 'README'), '');
    assert.deepEqual(await ids(), []);
  });

  it('throws when a directory is something else', async () => {
    await writeFile(join(yard.root, 'file'), '');
    await assert.rejects(discoverPlugins([join(yard.root, 'file')]), { code: 'HF_PLUGIN_DIRECTORY' });
  });

  it('refuses garbage as plugin.json and goes on', async () => {
    await yard.add('good');
    for (const text of ['', '{', '[]', 'null', '"x"', '\0', `{"x": "${'x'.repeat(70_000)}"}`]) {
      await yard.add('garbage', {}, '', { 'plugin.json': text });
      const plugin = await refused('HF_PLUGIN_MANIFEST', /plugin\.json/);
      assert.deepEqual([plugin.id, plugin.version], ['garbage', '']);
    }
    assert.deepEqual(await ids(), ['good verified', 'garbage refused']);
  });

  it('refuses a plugin.json that is a folder or cannot be read', async () => {
    await mkdir(join(yard.plugins, 'odd', 'plugin.json'), { recursive: true });
    await refused('HF_PLUGIN_MANIFEST', /cannot be read/);
  });

  it('refuses unknown keys, except x-…, and missing ones', async () => {
    await yard.add('extended', { 'x-note': { any: 'thing' } });
    assert.deepEqual(await ids(), ['extended verified']);
    await yard.add('extended', { verison: '1.0.0' });
    await refused('HF_PLUGIN_MANIFEST', /unknown key "verison"/);
    await yard.add('extended', { license: undefined, title: undefined });
    await refused('HF_PLUGIN_MANIFEST', /'title'.*'license'/);
  });

  it('refuses another manifest version, contract version, point, or bad name', async () => {
    await refusedManifest({ manifestVersion: 2 }, 'HF_PLUGIN_MANIFEST', /\/manifestVersion must be equal to constant: 1/);
    await refusedManifest({ contributes: { checker: [{ type: 'x', api: 2 }] } }, 'HF_PLUGIN_MANIFEST', /\/api/);
    await refusedManifest({ contributes: { notifier: [{ type: 'x', api: 1 }] } }, 'HF_PLUGIN_MANIFEST', /unknown key "notifier"/);
    await refusedManifest({ contributes: { checker: [{ type: '../x', api: 1 }] } }, 'HF_PLUGIN_MANIFEST', /\/type/);
    await refusedManifest({ budgets: { startMs: 0 } }, 'HF_PLUGIN_MANIFEST', /startMs/);
    assert.throws(() => checkManifest(yard.manifest('Bad Id'), 'folder'), { code: 'HF_PLUGIN_MANIFEST' });
  });

  it('refuses a version that is not semantic', async () => {
    for (const version of ['1', 'v1.0.0', '1.0', 'latest']) await refusedManifest({ version }, 'HF_PLUGIN_VERSION', /not like 1\.4\.2/);
  });

  it('refuses an SDK range that does not fit, naming both versions and what would work', async () => {
    const message =
      /1\.0\.0 wants sdk \^2\.0\.0, this node runs 0\.1\.0; install a release of probe for sdk \^0\.1\.0, or a node with sdk 2\.0\.0/;
    await refusedManifest({ engines: { sdk: '^2.0.0' } }, 'HF_PLUGIN_SDK', message);
    await refusedManifest({ engines: { sdk: '^0.2.0' } }, 'HF_PLUGIN_SDK', /wants sdk \^0\.2\.0/);
  });

  it('refuses open and senseless ranges', async () => {
    for (const sdk of ['*', '>=0.1.0', '>=0.1', 'x', '>0.0.9 || ^0.1.0']) {
      await refusedManifest({ engines: { sdk } }, 'HF_PLUGIN_RANGE', /open range/);
    }
    await refusedManifest({ engines: { sdk: '>=0.1.0 <100.0.0' } }, 'HF_PLUGIN_RANGE', /no near upper end/);
    await refusedManifest({ engines: { sdk: 'soon' } }, 'HF_PLUGIN_RANGE', /not like \^1\.2\.0/);
    await refusedManifest({ dependencies: { good: '*' } }, 'HF_PLUGIN_RANGE', /for plug-in good/);
  });

  it('refuses another Node.js or platform', async () => {
    await refusedManifest({ engines: { sdk: '^0.1.0', node: '>=99' } }, 'HF_PLUGIN_NODE', />=99, this node runs/);
    await refusedManifest({ platforms: ['plan9', 'linux-m68k'] }, 'HF_PLUGIN_PLATFORM', /runs on plan9, linux-m68k, this node is/);
    await yard.add('probe', { platforms: [`${process.platform}-${process.arch}`] });
    assert.deepEqual(await ids(), ['good verified', 'probe verified']);
  });

  it('counts a pre-release of the host as the release', () => {
    const manifest = checkManifest(yard.manifest('probe', { engines: { sdk: '^2.0.0' } }), 'probe');
    const host = { ...currentEnvironment(), sdkVersion: '2.0.0-rc.1' };
    checkCompatibility(manifest, host);
    assert.throws(() => checkCompatibility(manifest, { ...host, sdkVersion: '3.0.0-rc.1' }), { code: 'HF_PLUGIN_SDK' });
  });

  it('refuses a main outside the folder, absolute, through a link, or missing', async () => {
    await writeFile(join(yard.root, 'outside.js'), '');
    await refusedManifest({ main: '../../outside.js' }, 'HF_PLUGIN_PATH', /outside its folder/);
    await refusedManifest({ main: join(yard.root, 'outside.js') }, 'HF_PLUGIN_PATH', /outside its folder/);
    await refusedManifest({ main: 'absent.js' }, 'HF_PLUGIN_PATH', /is it built/);
    await refusedManifest({ main: '.' }, 'HF_PLUGIN_PATH', /not a file/);
    await symlink(join(yard.root, 'outside.js'), join(yard.plugins, 'probe', 'link.js'));
    await refusedManifest({ main: 'link.js' }, 'HF_PLUGIN_PATH', /outside its folder: it leads to/);
    await symlink(yard.root, join(yard.plugins, 'probe', 'lib'));
    await refusedManifest({ main: 'lib/outside.js' }, 'HF_PLUGIN_PATH', /outside its folder: it leads to/);
  });

  const serves = (element: string, schema = 'schema.json', parent = 'check'): Manifest => ({
    contributes: { checker: [{ type: element, api: 1, configuration: { element, parent, schema } }] },
  });
  const SCHEMA = '{"type":"object","properties":{"pattern":{"type":"string","x-unit":"ms"}},"additionalProperties":false}';

  it('reads the schemas of contributed elements', async () => {
    await yard.add('good', serves('modbus'), '', { 'schema.json': SCHEMA });
    const [element] = contributedElements(await yard.discover());
    assert.deepEqual(
      { ...element, schema: undefined },
      {
        plugin: 'good',
        point: 'checker',
        type: 'modbus',
        element: 'modbus',
        parent: 'check',
        schema: undefined,
      },
    );
  });

  it('refuses schemas that are missing, broken, too large, not about an object, or outside', async () => {
    const schema = async (text: string, message: RegExp): Promise<void> => {
      await yard.add('probe', serves('modbus'), '', { 'schema.json': text });
      await refused('HF_PLUGIN_SCHEMA', message);
    };
    await schema('{', /JSON/);
    await schema('[]', /not a JSON object/);
    await schema('{"type":"string"}', /"type": "object"/);
    await schema('{"type":"object","unheardOf":1}', /unheardOf/);
    await schema('{"type":"object","properties":{"a":{"type":"integer","x-unit":"fortnight"}}}', /x-unit|invalid/);
    await schema('{"type":"object","properties":{"a":{"$ref":"https://example.org/x.json"}}}', /resolve/);
    await schema(`{"type":"object","description":"${'x'.repeat(70_000)}"}`, /larger than 65536/);
    await yard.add('probe', serves('modbus', 'absent.json'));
    await refused('HF_PLUGIN_PATH', /absent\.json/);
    await yard.add('probe', serves('modbus', '../good/schema.json'));
    await refused('HF_PLUGIN_PATH', /outside/);
  });

  it('lets only the product itself use regular expressions in schemas', async () => {
    const slow = '{"type":"object","properties":{"a":{"type":"array","items":{"type":"object","patternProperties":{"^(a+)+$":{}}}}}}';
    const pattern = '{"type":"object","properties":{"a":{"type":"string","pattern":"^(a+)+$"}}}';
    for (const text of [slow, pattern]) {
      await yard.add('probe', serves('modbus'), '', { 'schema.json': text });
      await refused('HF_PLUGIN_SCHEMA', /regular expression can stop the node/);
    }
    await yard.add('probe', { ...serves('modbus'), publisher: 'holdfast' }, '', { 'schema.json': pattern });
    assert.deepEqual(await ids(), ['probe verified']);
  });

  it('gives an id, a type and an element to the first, and refuses the second', async () => {
    await yard.add('first', serves('modbus'), '', { 'schema.json': SCHEMA });
    await yard.add('second', serves('modbus'), '', { 'schema.json': SCHEMA });
    await refused('HF_PLUGIN_CONTRIBUTION', /"second" contributes checker modbus, which plug-in "first"/);
    await yard.add('second', { id: 'first' });
    await refused('HF_PLUGIN_DUPLICATE', /has the id of the one in .*first/);
    await yard.add('second', serves('heart', 'schema.json', 'service'), '', { 'schema.json': SCHEMA });
    await refused('HF_PLUGIN_CONTRIBUTION', /<heart>, which belongs to the core/);
    await yard.add('second', {
      contributes: {
        checker: [
          { type: 'a', api: 1 },
          { type: 'a', api: 1 },
        ],
      },
    });
    await refused('HF_PLUGIN_CONTRIBUTION', /"second" contributes already/);
  });

  it('orders plug-ins by their dependencies', async () => {
    await yard.add('a', { dependencies: { c: '^1.0.0' } });
    await yard.add('b');
    await yard.add('c', { dependencies: { d: '~1.0.0' } });
    await yard.add('d');
    assert.deepEqual(await ids(), ['d verified', 'c verified', 'a verified', 'b verified']);
  });

  it('refuses what needs a missing, unfit or refused plug-in, and what needs that', async () => {
    await yard.add('a', { dependencies: { absent: '^1.0.0' } });
    await yard.add('b', { dependencies: { a: '^1.0.0' } });
    await yard.add('c', { dependencies: { d: '^2.0.0' } });
    await yard.add('d');
    const found = await yard.discover();
    assert.deepEqual(
      found.map((plugin) => (plugin.state === 'refused' ? plugin.error.message : plugin.id)),
      [
        'd',
        'HF_PLUGIN_DEPENDENCY: plug-in "a" needs plug-in absent ^1.0.0, which is not installed or was refused',
        'HF_PLUGIN_DEPENDENCY: plug-in "b" needs plug-in a ^1.0.0, which is refused',
        'HF_PLUGIN_DEPENDENCY: plug-in "c" needs plug-in d ^2.0.0, but 1.0.0 is installed',
      ],
    );
  });

  it('refuses a circle of dependencies and what leans on it, and keeps the rest', async () => {
    await yard.add('a', { dependencies: { b: '^1.0.0' } });
    await yard.add('b', { dependencies: { c: '^1.0.0' } });
    await yard.add('c', { dependencies: { a: '^1.0.0' } });
    await yard.add('leaning', { dependencies: { a: '^1.0.0' } });
    await yard.add('self', { dependencies: { self: '^1.0.0' } });
    await yard.add('z');
    const found = await yard.discover();
    assert.deepEqual(
      found.map((plugin) => (plugin.state === 'refused' ? `${plugin.id} ${plugin.error.code}` : plugin.id)),
      ['z', ...['a', 'b', 'c', 'self'].map((id) => `${id} HF_PLUGIN_DEPENDENCY_CYCLE`), 'leaning HF_PLUGIN_DEPENDENCY'],
    );
    assert.match((found[1] as RefusedPlugin).error.message, /a needs b needs c needs a/);
  });
});
