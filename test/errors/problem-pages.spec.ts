import { readFile } from 'node:fs/promises';
import { PROBLEMS } from '#http';
import { projectFile } from '#platform';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApi } from '../harness/api.js';
import { expectProblem } from './expect-problem.js';

let api: TestApi;

beforeAll(async () => {
  api = await TestApi.shared();
});
afterAll(() => api.stop());

const slugs = Object.keys(PROBLEMS).sort();

describe('the page of problems', () => {
  it('has a heading for every problem and no other', async () => {
    const page = await readFile(projectFile('docs/problems.md'), 'utf8');
    const headings = Array.from(page.matchAll(/^## (.*)$/gm), ([, heading]) => heading);
    expect(headings.sort()).toEqual(slugs);
  });

  it('says something under every heading', async () => {
    const page = await readFile(projectFile('docs/problems.md'), 'utf8');
    for (const section of page.split(/^## /m).slice(1)) expect(section).toMatch(/^[a-z-]+\n+\S/);
  });

  it('is where the type of a problem leads, to an anchor of its own', async () => {
    const { type } = expectProblem(await api.call('GET', '/nothing'), 'not-found');
    const page = await api.call('GET', type);
    expect(page.status).toBe(200);
    expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8');
    const anchors = Array.from(page.text.matchAll(/<h2 id="([^"]+)">/g), ([, anchor]) => anchor);
    expect(anchors.sort()).toEqual(slugs);
    expect(new URL(type).hash).toBe('#not-found');
  });

  it('is at the address that the client used', async () => {
    const { type } = expectProblem(
      await api.call('GET', `${api.origin.replace('127.0.0.1', 'localhost')}/nothing`),
      'not-found',
    );
    expect(new URL(type).hostname).toBe('localhost');
  });
});
