import { spawnSync } from 'node:child_process';
import { appendFile, copyFile, cp, mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';

/** Text that tests append to an output; a build that does not write the file keeps it. */
const MARK = '\n// written by the test';

let built: string;
let folder: string;

/** A project with two files, a browser page and our build script, built once; each test changes a copy. */
beforeAll(async () => {
  built = await mkdtemp(join(tmpdir(), 'stowage-build-'));
  for (const path of ['bin', 'apps/one', 'apps/web', 'clients/typescript/src', 'libs', 'migrations'])
    await mkdir(join(built, path), { recursive: true });
  for (const file of ['bin/build.mjs', 'tsconfig.build.json']) await copyFile(file, join(built, file));
  await symlink(join(process.cwd(), 'node_modules'), join(built, 'node_modules'));
  // The declarations of Node.js take most of the compiler's time, so this project does without them.
  const compilerOptions = {
    target: 'es2023',
    lib: ['es2023'],
    module: 'nodenext',
    rootDir: '.',
    outDir: 'dist',
    isolatedModules: true,
    types: [],
  };
  const files = {
    'package.json': '{ "type": "module" }',
    'package-lock.json': '{}',
    'tsconfig.json': JSON.stringify({ compilerOptions }),
    'apps/one/main.ts': `import { two } from '../../libs/two.js';\nexport const four = two * 2;\n`,
    'libs/two.ts': 'export const two: number = 2;\n',
    'apps/web/vite.config.ts': `export default { build: { outDir: '../../dist/web', emptyOutDir: true } };\n`,
    'apps/web/index.html': '<script type="module" src="/main.ts"></script>\n',
    'apps/web/main.ts': `document.title = 'first';\n`,
  };
  for (const [file, text] of Object.entries(files)) await writeFile(join(built, file), text);
  folder = built;
  expect(build()).toEqual({ status: 0, output: '' });
});
afterAll(() => rm(built, { recursive: true, force: true }));

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'stowage-build-'));
  await cp(built, folder, { recursive: true, preserveTimestamps: true });
});
afterEach(() => rm(folder, { recursive: true, force: true }));

function run(file: string, ...args: string[]): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [file, ...args], { cwd: folder, encoding: 'utf8' });
  return { status, output: stdout + stderr };
}

function build(): { status: number | null; output: string } {
  return run('bin/build.mjs');
}

function output(file: string): Promise<string> {
  return readFile(join(folder, 'dist', file), 'utf8');
}

describe('npm run build', () => {
  it('compiles nothing when nothing has changed', async () => {
    await appendFile(join(folder, 'dist/libs/two.js'), MARK);
    expect(build().status).toBe(0);
    expect(await output('libs/two.js')).toContain(MARK);
  });

  it('compiles only the file that has changed', async () => {
    await appendFile(join(folder, 'dist/apps/one/main.js'), MARK);
    await writeFile(join(folder, 'libs/two.ts'), 'export const two: number = 22;\n');
    expect(build().status).toBe(0);
    expect(await output('libs/two.js')).toContain('22');
    expect(await output('apps/one/main.js')).toContain(MARK);
  });

  it('restores an output that was deleted', async () => {
    await rm(join(folder, 'dist/libs/two.js'));
    expect(build().status).toBe(0);
    expect(await output('libs/two.js')).toContain('two = 2');
  });

  it('bundles the browser page again only when one of its files has changed', async () => {
    await appendFile(join(folder, 'dist/web/index.html'), MARK);
    expect(build().status).toBe(0);
    expect(await output('web/index.html')).toContain(MARK);
    await writeFile(join(folder, 'apps/web/main.ts'), `document.title = 'second';\n`);
    expect(build().status).toBe(0);
    expect(await output('web/index.html')).not.toContain(MARK);
    const [script = ''] = await readdir(join(folder, 'dist/web/assets'));
    expect(await output(`web/assets/${script}`)).toContain('second');
  });

  it('removes the output of a deleted source', async () => {
    await writeFile(join(folder, 'libs/three.ts'), 'export const three = 3;\n');
    build();
    await rm(join(folder, 'libs/three.ts'));
    expect(build().status).toBe(0);
    await expect(output('libs/three.js')).rejects.toThrow('ENOENT');
  });

  it('compiles again after another program has compiled a different source', async () => {
    const source = join(folder, 'libs/two.ts');
    const original = await readFile(source, 'utf8');
    await writeFile(source, 'export const two: number = 3;\n');
    run('node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json');
    await writeFile(source, original);
    expect(build().status).toBe(0);
    expect(await output('libs/two.js')).toContain('two = 2');
  });

  it('fails on a type error, and fails again until it is fixed', async () => {
    await writeFile(join(folder, 'libs/two.ts'), `export const two: number = 'two';\n`);
    for (const result of [build(), build()]) {
      expect(result.status).not.toBe(0);
      expect(result.output).toContain('libs/two.ts(1,14): error TS2322');
    }
    await writeFile(join(folder, 'libs/two.ts'), 'export const two: number = 2;\n');
    expect(build().status).toBe(0);
  });
});
