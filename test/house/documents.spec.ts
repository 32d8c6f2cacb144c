import { describe, expect, it } from '@jest/globals';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Marked } from 'marked';
import { getHeadingList, gfmHeadingId } from 'marked-gfm-heading-id';

const PAGE = 'docs/how-a-request-flows.md';

describe('docs/how-a-request-flows.md', () => {
  it('names only files that exist', () => {
    const page = readFileSync(PAGE, 'utf8');
    const names = [...page.matchAll(/`((?:[\w-]+\/)*[\w.-]+\.ts)`/g)].map(([, name = '']) => name);
    expect(names.length).toBeGreaterThan(25);
    for (const name of names) {
      const path = name.includes('/') ? name : `libs/batches/src/${name}`;
      expect({ path, exists: exists(path) }).toEqual({ path, exists: true });
    }
  });
});

describe('the links between documents', () => {
  const pages = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', ...markdownIn('docs')];

  it.each(pages)('of %s lead to files and headings that exist', (page) => {
    const targets = [...readFileSync(page, 'utf8').matchAll(/\]\((?!https?:)([^)#\s]*)(?:#([^)]*))?\)/g)];
    for (const [, target = '', heading] of targets) {
      const path = target === '' ? page : join(dirname(page), target);
      expect({ path, exists: exists(path) }).toEqual({ path, exists: true });
      if (heading !== undefined)
        expect({ path, heading, exists: headingsOf(path).includes(heading) }).toEqual({ path, heading, exists: true });
    }
  });
});

describe('docs/capacity.md', () => {
  it('computes with the bytes of an object that its parts add up to', () => {
    const page = readFileSync('docs/capacity.md', 'utf8');
    const bytes = [...page.matchAll(/^\| [^|]+ \| +\**(\d+)\** \|$/gm)].map(([, cell]) => Number(cell));
    const [total = NaN, indexes = NaN] = bytes.splice(-2);
    const sum = bytes.reduce((before, part) => before + part);
    expect([total, indexes]).toEqual([sum, sum - (bytes[0] ?? NaN)]);
    for (const text of [
      `takes ${String(total)} bytes`,
      `**Disk**: ${String(total)} bytes`,
      `: ${String(indexes)} bytes`,
    ])
      expect(page).toContain(text);
  });
});

describe('docs/decisions', () => {
  it('gives each decision a unique number', () => {
    const numbers = readdirSync('docs/decisions').map((name) => name.slice(0, 3));
    expect(new Set(numbers).size).toBe(numbers.length);
  });
});

function markdownIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => `${folder}/${name}`);
}

/** The ids that GitHub gives the headings of a page. */
function headingsOf(path: string): string[] {
  new Marked().use(gfmHeadingId()).parse(readFileSync(path, 'utf8'), { async: false });
  return getHeadingList().map(({ id }) => id);
}

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}
