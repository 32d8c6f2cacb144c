import eslint from '@eslint/js';
import tseslint from 'typescript-eslint';

const FEEDS = ['firmware', 'factories', 'sprockets', 'temperatures'];
const BELOW_ACCESS = ['platform', 'telemetry', 'database', 'http', 'limits', 'usage', 'audit', 'events', 'encryption'];
const BELOW_STORE = ['json', 'filter', ...BELOW_ACCESS, 'access', 'jobs'];
const BELOW_FEEDS = [...BELOW_STORE, 'inverted-index', 'store', 'undelete', 'objects', 'analytics', 'feeds'];

/** What each part may import; the order goes down. `json`, `zstd` and the migrations import no other part. */
const MAY_IMPORT = {
  'libs/json': [],
  'libs/zstd': [],
  'libs/csv': ['json'],
  migrations: [],
  'libs/platform': ['json'],
  'libs/filter': ['json'],
  'libs/telemetry': ['platform'],
  'libs/database': ['platform', 'telemetry', 'migrations'],
  'libs/backup': ['platform', 'database', 'migrations'],
  'libs/http': ['json', 'zstd', 'platform', 'telemetry', 'database'],
  'libs/limits': ['platform', 'database', 'http'],
  'libs/usage': ['platform', 'database', 'http'],
  'libs/audit': ['platform', 'database', 'http'],
  'libs/events': ['platform', 'telemetry', 'database'],
  'libs/encryption': ['json', 'platform', 'telemetry', 'database'],
  'libs/access': BELOW_ACCESS,
  'libs/jobs': [...BELOW_ACCESS, 'access'],
  'libs/deletion': ['platform', 'database', 'http', 'usage', 'audit', 'access', 'jobs'],
  'libs/inverted-index': ['json', 'filter', 'platform', 'telemetry', 'database', 'encryption', 'jobs'],
  'libs/store': [...BELOW_STORE, 'inverted-index'],
  'libs/undelete': [...BELOW_STORE, 'inverted-index', 'store'],
  'libs/objects': [...BELOW_STORE, 'inverted-index', 'store', 'undelete'],
  'libs/batches': [...BELOW_STORE, 'csv', 'inverted-index', 'store', 'undelete', 'objects'],
  'libs/analytics': [...BELOW_STORE, 'inverted-index', 'store', 'objects'],
  'libs/export': [...BELOW_STORE, 'inverted-index', 'store', 'objects'],
  'libs/retention': [...BELOW_STORE, 'inverted-index', 'store', 'undelete', 'objects'],
  'libs/reencryption': [...BELOW_STORE, 'inverted-index'],
  'libs/changes': [...BELOW_STORE, 'inverted-index', 'store', 'objects'],
  'libs/webhooks': [...BELOW_STORE, 'inverted-index', 'store', 'objects', 'analytics', 'changes'],
  'libs/feeds': [...BELOW_STORE, 'inverted-index', 'store', 'objects'],
  ...Object.fromEntries(FEEDS.map((feed) => [`libs/${feed}`, BELOW_FEEDS])),
  apps: [
    ...BELOW_FEEDS,
    'csv',
    'batches',
    'export',
    'changes',
    'webhooks',
    'deletion',
    'backup',
    'retention',
    'reencryption',
    ...FEEDS,
  ],
  // It runs in a browser.
  'apps/web': [],
};
const PARTS = [
  ...BELOW_FEEDS,
  'csv',
  'batches',
  'export',
  'changes',
  'webhooks',
  'deletion',
  'backup',
  'retention',
  'reencryption',
  ...FEEDS,
  'zstd',
  'migrations',
];

const layers = Object.entries(MAY_IMPORT).map(([folder, allowed]) => ({
  files: [`${folder}/**/*.ts`, `${folder}/**/*.tsx`],
  rules: {
    'no-restricted-imports': [
      'error',
      {
        patterns: [
          {
            // As a regular expression: in a gitignore pattern, # begins a comment.
            regex: `^#(${PARTS.filter((part) => !allowed.includes(part)).join('|')})$`,
            message: `${folder} may import ${allowed.join(', ') || 'no other part'}.`,
          },
          {
            group: ['**/libs/**', '**/src/**', '../../*/src/*'],
            message: 'Import a lib by its name, such as #platform.',
          },
        ],
      },
    ],
  },
}));

export default tseslint.config(
  { ignores: ['dist', 'node_modules', 'coverage', '.stowage', 'clients/*/dist', 'clients/typescript/src/schema.ts'] },
  eslint.configs.recommended,
  {
    files: ['**/*.ts', '**/*.tsx'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      // Nest's modules and DTOs are classes that hold decorators and nothing else.
      '@typescript-eslint/no-extraneous-class': 'off',
      // DTOs and entities are classes for their decorators; what is passed around has their shape, not their prototype.
      '@typescript-eslint/no-unsafe-class-instance-assignment': 'off',
      // Also flags spreading text, which is how code points are counted.
      '@typescript-eslint/no-misused-spread': 'off',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      eqeqeq: ['error', 'always', { null: 'ignore' }],
      'no-restricted-syntax': [
        'error',
        {
          selector:
            'CallExpression[callee.property.name=/^(debug|info|warn|error|fatal)$/] TemplateLiteral CallExpression[callee.name="String"] > Identifier[name=/^(error|err|reason|cause)$/]',
          message: 'Errors of the database quote data: use describeError of #platform.',
        },
      ],
    },
  },
  {
    files: ['apps/web/**/*.tsx'],
    // Most handlers of events are short.
    rules: { '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }] },
  },
  {
    files: ['**/*.mjs'],
    languageOptions: {
      globals: Object.fromEntries(
        [
          'process',
          'console',
          'URL',
          'URLSearchParams',
          'performance',
          'setInterval',
          'clearInterval',
          'Buffer',
          'fetch',
          'setTimeout',
          'clearTimeout',
        ].map((name) => [name, 'readonly']),
      ),
    },
  },
  ...layers,
);
