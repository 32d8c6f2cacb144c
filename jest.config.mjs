/**
 * These specs kill processes and databases at random moments, or check limits of time and memory. Other specs that run at
 * the same time could make them slow or fail.
 */
const SERIAL = ['test/faults/*.spec.ts'];

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
    '^#([a-z]+)$': '<rootDir>/libs/$1/src/index.ts',
  },
};

export default {
  projects: [
    {
      ...project,
      displayName: 'parallel',
      testMatch: ['<rootDir>/{apps,libs,migrations,test}/**/*.spec.ts', ...SERIAL.map((specs) => `!**/${specs}`)],
    },
    {
      ...project,
      displayName: 'serial',
      testMatch: SERIAL.map((specs) => `<rootDir>/${specs}`),
      runner: '<rootDir>/test/serial-runner.mjs',
    },
  ],
  globalSetup: '<rootDir>/test/global-setup.mjs',
  globalTeardown: '<rootDir>/test/global-teardown.mjs',
  maxWorkers: 2,
  // A worker that has loaded the product some fifty times takes a moment to exit.
  workerGracefulExitTimeout: 5_000,
  // Long enough for a busy machine: only a test that hangs takes longer.
  testTimeout: 60_000,
};
