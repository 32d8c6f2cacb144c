import type { Stats } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { missingSource, fileSource, reasonOf, stdinSource, urlSource, type LoadSource } from './load-source.js';

/** The files of a folder that are loaded; zstd files contain NDJSON. */
const DATA_FILE = /\.(?:(?:json|geojson|csv|tsv)(?:\.gz)?|(?:ndjson|jsonl)(?:\.(?:gz|zst))?)$/i;
const STDIN = '-';

/**
 * Finds the sources that arguments name, in the same order: files, data files of folders, files that match a pattern which
 * the shell did not expand, URLs, and `-` for standard input. A source that does not exist fails when it is opened.
 * @param rejectsPath left out, because it is written during the load
 */
export async function findSources(args: readonly string[], rejectsPath: string): Promise<LoadSource[]> {
  const found: LoadSource[] = [];
  for (const arg of args) {
    if (arg === STDIN) found.push(stdinSource());
    else if (/^https?:\/\//i.test(arg)) found.push(urlSource(arg));
    else found.push(...(await pathSources(arg)));
  }
  return found.filter(({ name }) => resolve(name) !== resolve(rejectsPath));
}

async function pathSources(path: string): Promise<LoadSource[]> {
  let found: Stats;
  try {
    found = await stat(path);
  } catch (error) {
    const exists = (error as NodeJS.ErrnoException).code !== 'ENOENT';
    return exists ? [missingSource(path, reasonOf(error))] : await patternSources(path, reasonOf(error));
  }
  if (!found.isDirectory()) return [fileSource(path, found.size)];
  try {
    const entries = await readdir(path, { withFileTypes: true });
    const files = entries.filter((entry) => DATA_FILE.test(entry.name) && !entry.isDirectory());
    if (files.length === 0)
      return [missingSource(path, 'contains no *.json, *.ndjson, *.jsonl, *.csv, *.tsv or *.geojson files')];
    return await toSources(files.map(({ name }) => join(path, name)));
  } catch (error) {
    return [missingSource(path, reasonOf(error))];
  }
}

async function patternSources(pattern: string, reason: string): Promise<LoadSource[]> {
  const { glob, isDynamicPattern } = await import('tinyglobby');
  if (!isDynamicPattern(pattern)) return [missingSource(pattern, reason)];
  const paths = await glob(pattern, { expandDirectories: false });
  return paths.length === 0 ? [missingSource(pattern, 'matches no files')] : await toSources(paths);
}

function toSources(paths: string[]): Promise<LoadSource[]> {
  return Promise.all(paths.sort().map(async (path) => fileSource(path, await sizeOf(path), true)));
}

/** A broken link fails when it is opened. */
async function sizeOf(path: string): Promise<number> {
  return (await stat(path).catch(() => undefined))?.size ?? 0;
}
