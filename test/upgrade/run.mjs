/**
 * Upgrades a database of the previous version while its servers run: `npm run test:upgrade`. It builds the commit in
 * `previous-version` in a work tree of its own, with the installed packages, and takes about two minutes.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../..');
const commit = readFileSync(join(import.meta.dirname, 'previous-version'), 'utf8').trim();

function run(program, args, options = {}) {
  const { status } = spawnSync(program, args, { cwd: root, stdio: 'inherit', ...options });
  return status ?? 1;
}

if (run('git', ['cat-file', '-e', `${commit}^{commit}`], { stdio: 'ignore' }) !== 0) {
  console.error(`the commit ${commit} of the previous version is not in this clone: git fetch --unshallow`);
  process.exit(2);
}
const folder = mkdtempSync(join(tmpdir(), 'stowage-previous-'));
const previous = join(folder, 'stowage');
const modules = join(previous, 'node_modules');
let status = run('git', ['worktree', 'add', '--quiet', '--detach', previous, commit]);
try {
  if (status === 0) {
    symlinkSync(join(root, 'node_modules'), modules);
    status = run(process.execPath, [join(previous, 'bin/build.mjs')]);
  }
  if (status === 0) {
    const flags = ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning'];
    const jest = [
      'node_modules/jest/bin/jest.js',
      '--config',
      'test/upgrade/jest.config.mjs',
      '--runInBand',
      '--verbose',
    ];
    status = run(process.execPath, [...flags, ...jest], { env: { ...process.env, PREVIOUS_VERSION: previous } });
  }
} finally {
  // Before the work tree is removed: the packages are those of this one.
  rmSync(modules, { force: true });
  run('git', ['worktree', 'remove', '--force', previous]);
  rmSync(folder, { recursive: true, force: true });
}
process.exit(status);
