import type { Stats } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { badSource, fileSource, reasonOf, stdinSource, urlSource, type LoadSource } from './load-source.js';

/** What of a folder is loaded; zstd is taken as lines. */
const DATA_FILE = /\.(?:json(?:\.gz)?|(?:ndjson|jsonl)(?:\.(?:gz|zst))?)$/i;
const STDIN = '-';

/**
 * What the places name, in the order given: files, the data files of folders, files that match a pattern which the shell
 * did not expand, URLs, and - for standard input. What cannot be found fails when it is read.
 * @param rejectsPath never taken for data, for it is written while the others are read
 */
export async function findSources(places: readonly string[], rejectsPath: string): Promise<LoadSource[]> {
  const found: LoadSource[] = [];
  for (const place of places) {
    if (place === STDIN) found.push(stdinSource());
    else if (/^https?:\/\//i.test(place)) found.push(urlSource(place));
    else found.push(...(await pathSources(place)));
  }
  return found.filter(({ name }) => resolve(name) !== resolve(rejectsPath));
}

async function pathSources(path: string): Promise<LoadSource[]> {
  let found: Stats;
  try {
    found = await stat(path);
  } catch (error) {
    const isThere = (error as NodeJS.ErrnoException).code !== 'ENOENT';
    return isThere ? [badSource(path, reasonOf(error))] : await patternSources(path, reasonOf(error));
  }
  if (!found.isDirectory()) return [fileSource(path, found.size)];
  try {
    const entries = await readdir(path, { withFileTypes: true });
    const files = entries.filter((entry) => DATA_FILE.test(entry.name) && !entry.isDirectory());
    if (files.length === 0) return [badSource(path, 'holds no *.json, *.ndjson or *.jsonl files')];
    return await foundSources(files.map(({ name }) => join(path, name)));
  } catch (error) {
    return [badSource(path, reasonOf(error))];
  }
}

async function patternSources(pattern: string, reason: string): Promise<LoadSource[]> {
  const { glob, isDynamicPattern } = await import('tinyglobby');
  if (!isDynamicPattern(pattern)) return [badSource(pattern, reason)];
  const paths = await glob(pattern, { expandDirectories: false });
  return paths.length === 0 ? [badSource(pattern, 'matches no files')] : await foundSources(paths);
}

function foundSources(paths: string[]): Promise<LoadSource[]> {
  return Promise.all(paths.sort().map(async (path) => fileSource(path, await sizeOf(path), true)));
}

/** A link that leads nowhere is found out when it is read. */
async function sizeOf(path: string): Promise<number> {
  return (await stat(path).catch(() => undefined))?.size ?? 0;
}
