/**
 * They kill processes and databases at random moments, or hold time and memory against a limit: what else runs would
 * make them slow or fail.
 */
const ALONE = ['test/faults/*.spec.ts'];

/** Compiled by swc for speed; `npm run types` is what checks the types of the tests. */
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
    '^#([a-z]+)$': '<rootDir>/libs/$1/src/index.ts',
  },
};

export default {
  projects: [
    {
      ...project,
      displayName: 'together',
      testMatch: ['<rootDir>/{apps,libs,migrations,test}/**/*.spec.ts', ...ALONE.map((specs) => `!**/${specs}`)],
    },
    {
      ...project,
      displayName: 'alone',
      testMatch: ALONE.map((specs) => `<rootDir>/${specs}`),
      runner: '<rootDir>/test/alone-runner.mjs',
    },
  ],
  globalSetup: '<rootDir>/test/global-setup.mjs',
  globalTeardown: '<rootDir>/test/global-teardown.mjs',
  maxWorkers: 2,
  // One that has loaded the product some fifty times needs a moment to go.
  workerGracefulExitTimeout: 5_000,
  // Only what hangs takes longer, also on a machine that does something else as well.
  testTimeout: 60_000,
};
