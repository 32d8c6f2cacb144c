#!/usr/bin/env node
/**
 * Compiles the servers to `dist` and bundles the browser page into `dist/web`, each only when it is out of date. Starting `tsc` costs
 * 1 s of processor time even when nothing has changed, because it parses the declarations of all dependencies; this check costs 0.1 s.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));

/** The compiler in native code. The package `typescript` is the version before it, which the linter needs. */
const TSC = join('node_modules', 'typescript-native', 'bin', 'tsc');

const FOLDERS = ['apps', 'libs', 'migrations'];
/** Other inputs of the compiler; the lock file, because the output depends on the types of dependencies. */
const SETTINGS = ['package.json', 'package-lock.json', 'tsconfig.json', 'tsconfig.build.json'];
/** Written by `tsc` whenever it compiles, whoever runs it: also by `nest build` and by an editor. */
const BUILD_INFO = 'dist/.tsbuildinfo';
const STAMP = 'dist/.stamp';
const WEB = join('apps', 'web');
/** The page uses the client. */
const CLIENT = join('clients', 'typescript', 'src');
const WEB_OUTPUT = join('dist', 'web');
const WEB_STAMP = join(WEB_OUTPUT, '.stamp');

const sources = FOLDERS.flatMap(filesOf)
  .filter((file) => !file.startsWith(WEB))
  .sort();
const outputs = sources
  .filter((file) => /(?<!\.d)\.ts$/.test(file))
  .map((file) => join('dist', file.replace(/\.ts$/, '.js')));

const isComplete = outputs.every((file) => existsSync(file));
if (!isComplete || textOf(STAMP) !== stamp()) compile();
const webDigest = digestOf([...SETTINGS, ...[WEB, CLIENT].flatMap(filesOf).sort()]);
if (textOf(WEB_STAMP) !== webDigest) await bundle();

async function bundle() {
  const { build } = await import('vite');
  await build({ root: WEB, configFile: join(WEB, 'vite.config.ts'), logLevel: 'warn' });
  writeFileSync(WEB_STAMP, webDigest);
}

function compile() {
  // Taken before `tsc` reads the sources: one that changes meanwhile has to be compiled by the next run.
  const digest = digestOfSources();
  rmSync(STAMP, { force: true });
  // `tsc` does not check that its earlier outputs exist; without its build info it writes all of them again.
  if (!isComplete) rmSync(BUILD_INFO, { force: true });
  const { status } = spawnSync(process.execPath, [TSC, '-p', 'tsconfig.build.json'], { stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
  removeOrphans();
  writeFileSync(STAMP, stamp(digest));
}

/** Removes outputs whose source is gone, so that nothing can import them. */
function removeOrphans() {
  const wanted = new Set(outputs);
  for (const entry of readdirSync('dist', { recursive: true, withFileTypes: true })) {
    const file = join(entry.parentPath ?? entry.path, entry.name);
    if (file.endsWith('.js') && !file.startsWith(WEB_OUTPUT) && !wanted.has(file)) {
      rmSync(file);
      rmSync(`${file}.map`, { force: true });
    }
  }
}

/** The digest of the inputs and the compiler's build info: it changes with a source, and when another program has compiled. */
function stamp(sourcesDigest = digestOfSources()) {
  return createHash('sha256')
    .update(`${sourcesDigest}${textOf(BUILD_INFO)}`)
    .digest('hex');
}

function digestOfSources() {
  return digestOf([...SETTINGS, ...sources]);
}

/** The sources in a folder, without tests. */
function filesOf(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.endsWith('.spec.ts'))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name));
}

function digestOf(files) {
  const hash = createHash('sha256');
  for (const file of files) hash.update(`${file}\0${textOf(file)}\0`);
  return hash.digest('hex');
}

function textOf(file) {
  return existsSync(file) ? readFileSync(file, 'utf8') : '';
}
