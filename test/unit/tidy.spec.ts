/**
 * The rules of the tidy check, each against files that it must refuse and near misses that it must let pass. Words that the rules refuse
 * are put together from parts here, because this file is checked too.
 */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { checkTree } from '../tidy/check.js';
import { defaultExports } from '../tidy/rules/exports.js';
import { layers } from '../tidy/rules/layers.js';
import { emptyNames, rootEntries } from '../tidy/rules/names.js';
import { packageDependencies, pluginShape } from '../tidy/rules/packages.js';
import { purity } from '../tidy/rules/purity.js';
import { FILE_LINES_MAX, fileLength, LINE_COLUMNS_MAX, lineLength } from '../tidy/rules/size.js';
import {
  errorCodes,
  forcedExit,
  machinePaths,
  registryAddresses,
  silentExceptions,
  switchedOffTests,
  unfinishedWork,
} from '../tidy/rules/words.js';
import { describeFinding, type FileRule } from '../tidy/source.js';
import { parseIgnore, readTree } from '../tidy/tree.js';

const DECIDE = 'core/src/decide/mirror/step.ts';
const PLUGIN = 'plugins/vip-arp/src/index.ts';

/** The refused words, in parts. */
const LATER = ['TO', 'DO'].join('');
const BROKEN = ['FIX', 'ME'].join('');
const [ONLY, SKIP] = ['on-ly', 'sk-ip'].map((word) => word.replace('-', '')) as [string, string];
const [WORK, HOME, ROOT, BRIEF] = ['/wo-rk/', '/ho-me/', '/ro-ot/', '/tmp/br-ief/'].map((path) => path.replace('-', '')) as [
  string,
  string,
  string,
  string,
];
const [LINT_OFF, FORMAT_OFF] = ['eslint-dis-able', 'biome-ig-nore'].map((word) => word.replace(/-(?=able|nore)/, '')) as [string, string];
const EXIT = ['--', 'exit'].join('');

/** `path:line` of every finding. */
function places(rule: FileRule, path: string, text: string): string[] {
  return rule({ path, text }).map((finding) => `${finding.path}:${finding.line}`);
}

function refuses(rule: FileRule, path: string, texts: readonly string[]): void {
  for (const text of texts) assert.equal(places(rule, path, text).length, 1, `should be refused in ${path}: ${text}`);
}

function accepts(rule: FileRule, path: string, texts: readonly string[]): void {
  for (const text of texts) assert.deepEqual(places(rule, path, text), [], `should pass in ${path}: ${text}`);
}

describe('tidy: size', () => {
  it('refuses a file that is one line too long, at the first line too many', () => {
    assert.deepEqual(places(fileLength, 'core/src/x.ts', 'a;\n'.repeat(FILE_LINES_MAX + 1)), [`core/src/x.ts:${FILE_LINES_MAX + 1}`]);
    accepts(fileLength, 'core/src/x.ts', ['a;\n'.repeat(FILE_LINES_MAX)]);
  });

  it('refuses a line that is one column too wide and counts characters, not code units', () => {
    assert.deepEqual(places(lineLength, '.ci/run', `ok\n${'x'.repeat(LINE_COLUMNS_MAX + 1)}\n`), ['.ci/run:2']);
    accepts(lineLength, 'x.ts', ['x'.repeat(LINE_COLUMNS_MAX), '\u{1F600}'.repeat(LINE_COLUMNS_MAX)]);
  });

  it('leaves prose and data alone', () => {
    accepts(lineLength, 'README.md', ['x'.repeat(1000)]);
    accepts(fileLength, 'package-lock.json', ['{}\n'.repeat(1000)]);
  });
});

describe('tidy: names', () => {
  it('refuses empty words as a file, a folder or a part of a name', () => {
    for (const path of [
      'core/src/utils.ts',
      'cli/src/misc/x.ts',
      'sdk/src/string-helpers.ts',
      'core/src/pluginManager.ts',
      'test/common/x.ts',
    ]) {
      assert.equal(emptyNames({ path, text: '' }).length, 1, path);
    }
    accepts(emptyNames, 'core/src/host/commonality.ts', ['']);
  });

  it('refuses an unknown entry of the root once, and knows files from folders', () => {
    const files = ['notes.md', 'scripts/a.sh', 'scripts/b.sh', 'core', 'tsconfig/x.json'].map((path) => ({ path, text: '' }));
    assert.deepEqual(
      rootEntries(files).map(({ message }) => message.split('"')[1]),
      ['notes.md', 'scripts', 'core', 'tsconfig'],
    );
  });

  it('accepts the entries that the root is meant to have', () => {
    const paths = [
      '.ci/run',
      '.mocharc.e2e.json',
      'ARCHITECTURE.md',
      'core/package.json',
      'knip.json',
      'tsconfig.base.json',
      'tsconfig.json',
    ];
    assert.deepEqual(rootEntries(paths.map((path) => ({ path, text: '' }))), []);
  });
});

describe('tidy: layers', () => {
  it('refuses a decision that imports anything but the model', () => {
    refuses(layers, DECIDE, [
      "import { run } from '../../engine/run.js';",
      "import type { Engine } from '../../engine/run.js';",
      "export { run } from '../../engine/run.js';",
      "import assert from 'node:assert/strict';",
      "import { HoldfastError } from '@holdfast/sdk';",
      "const run = await import('../../engine/run.js');",
      "type Engine = import('../../engine/run.js').Engine;",
      "import { x } from './../../engine/x.js';",
    ]);
    accepts(layers, DECIDE, [
      "import { a } from '../../model/state.js';\nimport { b } from '../rules/apply.js';\nimport { c } from './c.js';",
    ]);
  });

  it('refuses a model that imports anything outside itself', () => {
    refuses(layers, 'core/src/model/state.ts', ["import { step } from '../decide/step.js';", "import 'node:fs';"]);
    accepts(layers, 'core/src/model/state.ts', ["import type { Lineage } from './generation.js';"]);
  });

  it('refuses contracts that import a package or a node module', () => {
    refuses(layers, 'sdk/src/plugin.ts', [
      "import { x } from 'koffi';",
      "import { y } from 'node:net';",
      "import { z } from '../../core/src/z.js';",
    ]);
  });

  it('refuses a plug-in that imports the core, another plug-in, its own tests or a foreign package', () => {
    refuses(layers, PLUGIN, [
      "import { x } from '@holdfast/core';",
      "import { x } from '../../checker-tcp/src/index.js';",
      "import { x } from '../../../core/src/model/state.js';",
      "import { x } from '../test/address.js';",
      "import { x } from 'execa';",
    ]);
    accepts(layers, PLUGIN, [
      "import koffi from 'koffi';\nimport { HoldfastError } from '@holdfast/sdk';\nimport { a } from './announce.js';\nimport 'node:net';",
    ]);
  });

  it('refuses a test of a plug-in that imports the core, and lets it import its own sources', () => {
    refuses(layers, 'plugins/vip-arp/test/arp.spec.ts', ["import { x } from '@holdfast/core';"]);
    accepts(layers, 'plugins/vip-arp/test/arp.spec.ts', ["import { x } from '../src/index.js';\nimport fc from 'fast-check';"]);
  });

  it('refuses core, command line and tests that import a plug-in', () => {
    for (const path of ['core/src/host/load.ts', 'cli/src/index.ts', 'test/lab/node.ts']) {
      refuses(layers, path, ["import { plugin } from '@holdfast/plugin-vip-arp';"]);
    }
    refuses(layers, 'core/src/host/load.ts', ["import { plugin } from '../../../plugins/vip-arp/src/index.js';"]);
  });

  it('names the line of the import', () => {
    assert.deepEqual(places(layers, DECIDE, "/** Idea. */\nimport { a } from './a.js';\nimport { x } from 'node:fs';\n"), [`${DECIDE}:3`]);
  });
});

describe('tidy: purity of the decision core', () => {
  it('refuses clocks, timers, random numbers and the process', () => {
    refuses(purity, DECIDE, [
      'const now = Date.now();',
      'const now = new Date();',
      'const now = Date();',
      'const now = performance.now();',
      'const one = Math.random();',
      'setTimeout(() => {}, 5);',
      'setInterval(() => {}, 5);',
      'const now = globalThis.Date;',
      'const node = process.env;',
    ]);
    refuses(purity, 'core/src/model/state.ts', ['const now = Date.now();']);
  });

  it('accepts the words in comments, dates of given instants, and the rest of the code', () => {
    accepts(purity, DECIDE, ['// never Date.now() here', 'const at = new Date(0);', 'const wide = Math.max(1, 2);']);
    accepts(purity, 'core/src/engine/clock.ts', ['const now = performance.now();']);
  });
});

describe('tidy: exports', () => {
  it('refuses every form of a default export', () => {
    refuses(defaultExports, 'core/src/x.ts', [
      'export default 5;',
      'export default function f(): void {}',
      'export default class A {}',
      'export { a as default };',
      "export { default } from './a.js';",
    ]);
    accepts(defaultExports, 'core/src/x.ts', ["import koffi from 'koffi';\nexport const a = koffi;", 'switch (a) { default: break; }']);
  });
});

describe('tidy: packages', () => {
  it('refuses contracts with a dependency of any kind, at its line', () => {
    assert.deepEqual(places(packageDependencies, 'sdk/package.json', '{\n  "dependencies": {\n    "ajv": "8"\n  }\n}'), [
      'sdk/package.json:3',
    ]);
    refuses(packageDependencies, 'sdk/package.json', ['{"peerDependencies": {"ajv": "8"}}', '{"optionalDependencies": {"koffi": "3"}}']);
    accepts(packageDependencies, 'sdk/package.json', ['{"dependencies": {}}', '{}']);
  });

  it('refuses a plug-in that depends on more than the contracts and koffi', () => {
    refuses(packageDependencies, 'plugins/vip-arp/package.json', ['{"dependencies": {"@holdfast/sdk": "1", "@holdfast/core": "1"}}']);
    accepts(packageDependencies, 'plugins/vip-arp/package.json', ['{"dependencies": {"@holdfast/sdk": "1", "koffi": "3"}}']);
    accepts(packageDependencies, 'core/package.json', ['{"dependencies": {"fastify": "5"}}']);
  });

  it('refuses a plug-in without manifest, page or test', () => {
    const bare = [{ path: PLUGIN, text: '' }];
    assert.deepEqual(
      pluginShape(bare).map(describeFinding),
      ['plugin.json', 'package.json', 'README.md', 'a test (test/*.spec.ts)'].map((what) => `plugins/vip-arp:1: plug-in without ${what}`),
    );
    const whole = ['plugin.json', 'package.json', 'README.md', 'test/arp.spec.ts'].map((path) => ({
      path: `plugins/vip-arp/${path}`,
      text: '',
    }));
    assert.deepEqual(pluginShape([...bare, ...whole]), []);
  });
});

describe('tidy: words', () => {
  it('refuses marks of unfinished work', () => {
    refuses(unfinishedWork, 'core/src/x.ts', [`// ${LATER} later`, `/* ${BROKEN} */`]);
    accepts(unfinishedWork, 'core/src/x.ts', ['const methodOdo = 1;']);
  });

  it('refuses tests that are switched off', () => {
    refuses(switchedOffTests, 'test/unit/x.spec.ts', [
      `it.${ONLY}('x', f);`,
      `describe.${SKIP}('x', f);`,
      `this.${SKIP}();`,
      ['x', "it('x', f);"].join(''),
    ]);
    accepts(switchedOffTests, 'test/unit/x.spec.ts', ['exit(1);', 'const only = { skip: 1 };']);
  });

  it('refuses an exception from a check that gives no reason', () => {
    refuses(silentExceptions, 'core/src/x.ts', [`// ${LINT_OFF}-next-line no-console`, `/* ${LINT_OFF} */`, `// ${FORMAT_OFF} format`]);
    accepts(silentExceptions, 'core/src/x.ts', [`// ${LINT_OFF}-next-line no-console -- the terminal is the product here`]);
    accepts(silentExceptions, 'core/src/x.ts', [`// ${FORMAT_OFF} format: a table`]);
  });

  it('refuses absolute paths of a machine of ours in any file', () => {
    const bad = [`cd ${WORK}main`, `"${HOME}me/x"`, `see ${ROOT}.npmrc`, `${BRIEF}x.md`];
    refuses(machinePaths, 'README.md', bad);
    refuses(machinePaths, 'core/src/x.ts', bad);
    accepts(machinePaths, 'README.md', [`/var/lib/holdfast${WORK}x`, `https://host${HOME}x`, `\${folder}${WORK}x`, `.${WORK}x`]);
  });

  it('refuses a lock file that is tied to a registry', () => {
    refuses(registryAddresses, 'package-lock.json', ['"resolved": "https://registry.example/a.tgz"']);
    accepts(registryAddresses, 'package-lock.json', ['"resolved": "sdk"']);
  });

  it('refuses a forced exit of the test runner', () => {
    refuses(forcedExit, 'package.json', [`"test": "mocha ${EXIT}"`]);
    refuses(forcedExit, '.mocharc.unit.json', ['{ "exit": true }']);
    refuses(forcedExit, '.ci/run', [`npx mocha ${EXIT}`]);
  });

  it('refuses error codes in another spelling, in sources only', () => {
    const bad = ["throw new HoldfastError('HF_Config_bad', 'x');", "const code = 'hf_config';", 'const text = `HF_config ${x}`;'];
    refuses(errorCodes, PLUGIN, bad);
    refuses(errorCodes, 'core/src/config/errors.ts', bad);
    accepts(errorCodes, 'core/test/errors.spec.ts', bad);
    accepts(errorCodes, PLUGIN, ["const code = 'HF_VIP_IN_USE2';", "code.startsWith('HF_');", '// HF_like_this']);
  });
});

describe('tidy: the tree', () => {
  it('reads all files but those that git ignores, and binary files as empty', () => {
    const root = mkdtempSync(join(tmpdir(), 'holdfast-tidy-'));
    try {
      const contents = {
        '.gitignore': 'dist/\n*.log\n',
        'core/a.ts': 'a',
        'core/dist/a.js': 'x',
        'b.log': 'x',
        '.git/HEAD': 'x',
        'core/key': 'k\0',
      };
      for (const [path, text] of Object.entries(contents)) {
        mkdirSync(dirname(join(root, path)), { recursive: true });
        writeFileSync(join(root, path), text);
      }
      assert.deepEqual(readTree(root), [
        { path: '.gitignore', text: contents['.gitignore'] },
        { path: 'core/a.ts', text: 'a' },
        { path: 'core/key', text: '' },
      ]);
    } finally {
      rmSync(root, { recursive: true, force: true });
    }
  });

  it('refuses an ignore pattern that it does not understand instead of reading too much', () => {
    assert.throws(() => parseIgnore('dist/\n!keep.ts\n'), /pattern "!keep.ts"/);
  });

  it('reports every rule that a tree breaks, ordered by place', () => {
    const findings = checkTree([
      { path: DECIDE, text: "import 'node:fs';\nexport default Date.now();\n" },
      { path: 'core/src/a.ts', text: `// ${BROKEN}\n` },
    ]);
    assert.deepEqual(
      findings.map((finding) => describeFinding(finding).split(': ')[0]),
      ['core/src/a.ts:1', `${DECIDE}:1`, `${DECIDE}:2`, `${DECIDE}:2`],
    );
  });
});
