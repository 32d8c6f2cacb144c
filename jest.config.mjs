/** These specs check limits of time and memory, which three other specs at the same time could make them miss. They run in pairs. */
const PAIRED = ['abusive-clients', 'database-away', 'stop'].map((name) => `test/faults/${name}.spec.ts`);
/** On a busy machine a stream arrives so slowly that it is received before it is written, by another way. */
const SERIAL = ['test/batches/ndjson.spec.ts'];

/** swc compiles the tests, because it is fast; `npm run types` checks their types. */
const project = {
  rootDir: import.meta.dirname,
  testEnvironment: 'node',
  extensionsToTreatAsEsm: ['.ts'],
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      {
        jsc: {
          target: 'es2023',
          parser: { syntax: 'typescript', decorators: true },
          transform: { legacyDecorator: true, decoratorMetadata: true },
        },
        module: { type: 'es6' },
      },
    ],
  },
  moduleNameMapper: {
    '^(\\.{1,2}/.*)\\.js$': '$1',
    '^#migrations$': '<rootDir>/migrations/index.ts',
    '^#([a-z-]+)$': '<rootDir>/libs/$1/src/index.ts',
  },
};

export default {
  projects: [
    {
      ...project,
      displayName: 'parallel',
      testMatch: [
        '<rootDir>/{apps,libs,migrations,test}/**/*.spec.ts',
        ...[...PAIRED, ...SERIAL].map((specs) => `!**/${specs}`),
      ],
    },
    {
      ...project,
      displayName: 'paired',
      testMatch: PAIRED.map((specs) => `<rootDir>/${specs}`),
      runner: '<rootDir>/test/paired-runner.mjs',
    },
    {
      ...project,
      displayName: 'serial',
      testMatch: SERIAL.map((specs) => `<rootDir>/${specs}`),
      runner: '<rootDir>/test/serial-runner.mjs',
    },
  ],
  testSequencer: '<rootDir>/test/longest-first.mjs',
  globalSetup: '<rootDir>/test/global-setup.mjs',
  globalTeardown: '<rootDir>/test/global-teardown.mjs',
  // More than the two cores of a small machine, because specs that wait for timeouts and for other processes use none.
  maxWorkers: 4,
  // A worker that has loaded the product some fifty times takes a moment to exit.
  workerGracefulExitTimeout: 5_000,
  // Long enough for a busy machine: only a test that hangs takes longer.
  testTimeout: 60_000,
};
