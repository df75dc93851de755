/**
 * Lint rules: typescript-eslint's strict, type-checked set for TypeScript, ESLint's recommended set for the few plain JavaScript files,
 * and the layers of the architecture. What is tuned away from the strict set is listed in `TUNED`, each with its reason.
 */
import { defineConfig } from 'eslint/config';
import { builtinRules } from 'eslint/use-at-your-own-risk';
import tseslint from 'typescript-eslint';

/** The rules that ESLint itself marks as recommended, read from the installed version. */
const RECOMMENDED = Object.fromEntries(
  [...builtinRules].filter(([, rule]) => rule.meta?.docs?.recommended).map(([name]) => [name, 'error']),
);

/** Globals of Node that plain JavaScript files use; TypeScript files need none, the compiler knows them. */
const NODE_GLOBALS = Object.fromEntries(
  ['AbortController', 'AbortSignal', 'Buffer', 'TextDecoder', 'TextEncoder', 'URL', 'URLSearchParams', 'clearInterval', 'clearTimeout']
    .concat(['console', 'fetch', 'performance', 'process', 'setImmediate', 'setInterval', 'setTimeout', 'structuredClone'])
    .map((name) => [name, 'readonly']),
);

const NO_DEFAULT_EXPORT = [
  { selector: 'ExportDefaultDeclaration', message: 'Export by name: the same thing then has the same name everywhere.' },
  { selector: 'ExportSpecifier[exported.name="default"]', message: 'Export by name: the same thing then has the same name everywhere.' },
];

const NO_DYNAMIC_IMPORT = {
  selector: 'ImportExpression',
  message: 'This layer is pure: static imports only, so that its layer can be checked.',
};

/** Strict rules that make code here worse. */
const TUNED = {
  // Numbers are most of what messages interpolate, and print the same everywhere.
  '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
  // Reports a second `if (this.closed)` after an `await` as always false: obeying it would remove exactly the checks that matter.
  '@typescript-eslint/no-unnecessary-condition': 'off',
  // `(line) => emit(line)` as a callback, and `return reject(error)` as a way out of one, read well.
  '@typescript-eslint/no-confusing-void-expression': [
    'error',
    { ignoreArrowShorthand: true, ignoreVoidOperator: true, ignoreVoidReturningFunctions: true },
  ],
  // An implementation of an asynchronous contract may have nothing to wait for; `async` still turns its throw into a rejection.
  '@typescript-eslint/require-await': 'off',
  // tsyringe's modules are classes whose decorator is the point.
  '@typescript-eslint/no-extraneous-class': ['error', { allowWithDecorator: true }],
  // `void` in front of a call that returns nothing says that nothing is wanted: harmless.
  '@typescript-eslint/no-meaningless-void-operator': 'off',
  // Numbers that come from the kernel or the wire are compared with, and turned into, the members of the enum that names them.
  '@typescript-eslint/no-unsafe-enum-comparison': 'off',
  '@typescript-eslint/no-unsafe-enum-assignment': 'off',
  // `[...text]` takes text apart into code points, which is what parsers here want.
  '@typescript-eslint/no-misused-spread': ['error', { allow: ['string'] }],
  // A leading underscore says: part of the signature, not needed here.
  '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
};

const ADDED = {
  // A written `default` is a decision about all that may come; the decision core has to name its cases (below).
  '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
  '@typescript-eslint/no-floating-promises': 'error',
  '@typescript-eslint/no-misused-promises': 'error',
  '@typescript-eslint/consistent-type-imports': 'error',
  eqeqeq: 'error',
  'no-restricted-syntax': ['error', ...NO_DEFAULT_EXPORT],
};

/** A block that forbids imports by regular expressions over the specifier. */
function layer(files, patterns, syntax = []) {
  return {
    files,
    rules: {
      'no-restricted-imports': ['error', { patterns: patterns.map(([regex, message]) => ({ regex, message })) }],
      'no-restricted-syntax': ['error', ...NO_DEFAULT_EXPORT, ...syntax],
    },
  };
}

const BARE = '^[^.]';
const PLUGIN = '^@holdfast/plugin-|(^|/)plugins/';

/** The same layer at folder depths 0 to 3: a relative specifier leaves the layer when it goes up further than the file is deep. */
function pureLayer(folder, inside, message) {
  return [0, 1, 2, 3].map((depth) =>
    layer(
      [`${folder}/${'*/'.repeat(depth)}*.ts`],
      [
        [BARE, message],
        [`^\\./(\\.\\./)|^(\\.\\./){${depth + 1}}(?!${inside})`, message],
      ],
      [NO_DYNAMIC_IMPORT],
    ),
  );
}

const NOTHING = '$.';
const OWN_PACKAGE = '^(\\.\\./)+(plugins|core|sdk|cli)/';
const LAYERS = [
  layer(
    ['core/**/*.ts', 'cli/**/*.ts', 'sdk/**/*.ts', 'test/**/*.ts'],
    [[PLUGIN, 'Plug-ins are loaded by the host through their manifest, never imported.']],
  ),
  layer(
    ['sdk/src/**/*.ts'],
    [
      [BARE, 'The contracts import nothing.'],
      [OWN_PACKAGE, 'The contracts import nothing.'],
    ],
  ),
  layer(
    ['plugins/*/src/**/*.ts'],
    [
      ['^(?!@holdfast/sdk$|koffi$|node:|\\.\\.?/)', 'A plug-in imports @holdfast/sdk, koffi, node: modules and its own files.'],
      [`${OWN_PACKAGE}|^\\.\\./(\\.\\./)*[a-z-]+-[a-z]+/src/`, 'A plug-in imports no file of another package.'],
    ],
  ),
  layer(
    ['plugins/checker-sql/src/**/*.ts'],
    [
      [
        '^(?!@holdfast/sdk$|pg$|mysql2$|node:|\\.\\.?/)',
        'This plug-in imports the contracts, node: modules, its own files and the clients of its databases.',
      ],
    ],
  ),
  layer(
    ['plugins/*/test/**/*.ts'],
    [
      ['^@holdfast/(?!sdk(?:/testkit(?:/[a-z-]+)?)?$)', 'Tests of a plug-in see the contracts, not the core.'],
      [OWN_PACKAGE, 'Tests of a plug-in see only its own files.'],
    ],
  ),
  ...pureLayer('core/src/model', NOTHING, 'core/src/model imports nothing outside itself.'),
  ...pureLayer('core/src/decide', 'model/', 'core/src/decide imports core/src/model and itself, nothing else.'),
];

export default defineConfig(
  { ignores: ['**/dist/**', '**/node_modules/**'] },
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: { ...ADDED, ...TUNED },
  },
  {
    files: ['core/src/{decide,model}/**/*.ts'],
    rules: { '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: false }] },
  },
  ...LAYERS,
  {
    files: ['**/*.js', '**/*.mjs'],
    languageOptions: { globals: NODE_GLOBALS },
    rules: { ...RECOMMENDED, eqeqeq: 'error', 'no-restricted-syntax': ['error', ...NO_DEFAULT_EXPORT] },
  },
  { files: ['eslint.config.js'], rules: { 'no-restricted-syntax': 'off' } },
);
