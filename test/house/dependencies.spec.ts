import { readFile } from 'node:fs/promises';
import { beforeAll, describe, expect, it } from '@jest/globals';
import semver from 'semver';

interface Manifest {
  engines: { node: string };
  dependencies: Record<string, string>;
  devDependencies: Record<string, string>;
  overrides: Record<string, string | Record<string, string>>;
  allowScripts: Record<string, boolean>;
}

interface LockedPackage {
  engines?: { node?: string };
  resolved?: string;
  hasInstallScript?: boolean;
}

let manifest: Manifest;
let locked: [path: string, LockedPackage][];
let page: string;

beforeAll(async () => {
  manifest = JSON.parse(await readFile('package.json', 'utf8')) as Manifest;
  const lock = JSON.parse(await readFile('package-lock.json', 'utf8')) as { packages: Record<string, LockedPackage> };
  locked = Object.entries(lock.packages);
  page = await readFile('docs/dependencies.md', 'utf8');
});

describe('the dependencies', () => {
  it('all run on the oldest Node.js that package.json allows', () => {
    const oldest = semver.minVersion(manifest.engines.node)?.version ?? '';
    const tooNew = locked.filter(([, { engines }]) => !semver.satisfies(oldest, engines?.node ?? '*'));
    expect(tooNew).toEqual([]);
  });

  it('of the TypeScript client are those that its tests run with', async () => {
    const client = JSON.parse(await readFile('clients/typescript/package.json', 'utf8')) as Manifest;
    expect(manifest.devDependencies).toMatchObject(client.dependencies);
    expect(client.engines).toEqual(manifest.engines);
  });

  it('are locked without download addresses', () => {
    expect(locked.filter(([, { resolved }]) => resolved !== undefined)).toEqual([]);
  });

  it('have their pins and overrides explained in docs/dependencies.md', () => {
    const pins = Object.entries({ ...manifest.dependencies, ...manifest.devDependencies }).filter(
      ([, version]) => !version.startsWith('^'),
    );
    const overrides = Object.entries(manifest.overrides).flatMap(([name, value]) =>
      typeof value === 'string' ? [name, value] : [name, ...Object.keys(value)],
    );
    for (const word of [...pins.flat(), ...overrides]) expect(page).toContain(`\`${word}\``);
  });

  it('have a decision for every install script', () => {
    const names = locked
      .filter(([, { hasInstallScript }]) => hasInstallScript === true)
      .map(([path]) => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length));
    // Stowage does not run on Windows.
    const undecided = names.filter((name) => !(name in manifest.allowScripts) && !name.endsWith('/windows-x64'));
    expect(undecided).toEqual([]);
  });
});
