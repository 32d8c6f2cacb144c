import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import ts from 'typescript';

/** The files that a source file imports or re-exports by a relative path, including type-only imports. */
function importsOf(file: string): string[] {
  const { importedFiles } = ts.preProcessFile(readFileSync(file, 'utf8'));
  return importedFiles
    .filter(({ fileName }) => fileName.startsWith('.'))
    .map(({ fileName }) => resolve(dirname(file), fileName.replace(/\.js$/, '.ts')));
}

/** Finds an import cycle among these files. @returns its files, the first also as the last; undefined if there is no cycle */
function findCycle(files: readonly string[], importsOf: (file: string) => readonly string[]): string[] | undefined {
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): string[] | undefined => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
    if (done.has(file)) return undefined;
    for (const imported of importsOf(file)) {
      const cycle = visit(imported, [...path, file]);
      if (cycle !== undefined) return cycle;
    }
    done.add(file);
    return undefined;
  };
  for (const file of files) {
    const cycle = visit(file, []);
    if (cycle !== undefined) return cycle;
  }
  return undefined;
}

function sourcesOf(lib: string): string[] {
  const folder = join('libs', lib, 'src');
  return readdirSync(folder)
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.spec.ts'))
    .map((name) => resolve(folder, name));
}

describe('the files of a lib', () => {
  it.each(readdirSync('libs'))('import each other without a cycle in %s', (lib) => {
    const cycle = findCycle(sourcesOf(lib), importsOf);
    expect(cycle?.map((file) => file.slice(resolve('libs').length + 1))).toBeUndefined();
  });

  it('are checked by a search that finds a cycle', () => {
    const imports: Record<string, string[]> = { a: ['b'], b: ['c', 'd'], c: [], d: ['b'] };
    expect(findCycle(Object.keys(imports), (file) => imports[file] ?? [])).toEqual(['b', 'd', 'b']);
  });
});
