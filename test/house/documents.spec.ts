import { describe, expect, it } from '@jest/globals';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';

const PAGE = 'docs/how-a-request-flows.md';

describe('docs/how-a-request-flows.md', () => {
  it('names only files that exist', () => {
    const page = readFileSync(PAGE, 'utf8');
    const names = [...page.matchAll(/`((?:libs\/[\w-]+\/src\/)?[\w.-]+\.ts)`/g)].map(([, name = '']) => name);
    expect(names.length).toBeGreaterThan(25);
    for (const name of names) {
      const path = name.startsWith('libs/') ? name : `libs/batches/src/${name}`;
      expect({ path, exists: exists(path) }).toEqual({ path, exists: true });
    }
  });
});

describe('the links between documents', () => {
  const pages = ['README.md', 'CONTRIBUTING.md', ...markdownIn('docs'), ...markdownIn('docs/decisions')];

  it.each(pages)('of %s lead to files that exist', (page) => {
    const targets = [...readFileSync(page, 'utf8').matchAll(/\]\((?!https?:|#)([^)#\s]+)(?:#[^)]*)?\)/g)];
    for (const [, target = ''] of targets) {
      const path = join(dirname(page), target);
      expect({ path, exists: exists(path) }).toEqual({ path, exists: true });
    }
  });
});

describe('docs/decisions', () => {
  it('gives each decision a unique number', () => {
    const numbers = readdirSync('docs/decisions').map((name) => name.slice(0, 3));
    expect(new Set(numbers).size).toBe(numbers.length);
  });
});

function markdownIn(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.md'))
    .map((name) => `${folder}/${name}`);
}

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}
