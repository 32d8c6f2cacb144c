import config from '../../jest.config.mjs';

const [project] = config.projects;

/** Only with `npm run test:upgrade`, which builds the previous version. */
export default {
  ...config,
  rootDir: project.rootDir,
  projects: [{ ...project, displayName: 'upgrade', testMatch: ['<rootDir>/test/upgrade/*.upgrade.ts'] }],
  testTimeout: 900_000,
};
