import { readFile } from 'node:fs/promises';
import type { ProblemDto } from '#http';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApi } from '../harness/api.js';
import { expectProblem } from './expect-problem.js';
import { RUN } from '../harness/run.js';

let api: TestApi;

beforeAll(async () => {
  api = await TestApi.shared();
});
afterAll(() => api.stop());

const slugs = Object.keys(RUN.problems).sort();

describe('docs/problems.md', () => {
  it('has exactly one heading for each problem', async () => {
    const page = await readFile('docs/problems.md', 'utf8');
    const headings = Array.from(page.matchAll(/^## (.*)$/gm), ([, heading]) => heading);
    expect(headings.sort()).toEqual(slugs);
  });

  it('shows the title and status of each problem in its example', async () => {
    const page = await readFile('docs/problems.md', 'utf8');
    const examples = Array.from(
      page.matchAll(/^```json\n(.*?)^```/gms),
      ([, json = '']) => JSON.parse(json) as ProblemDto,
    );
    expect(examples.length).toBeGreaterThan(5);
    for (const { type, title, status, errors, error_count } of examples) {
      const slug = new URL(type).hash.slice(1) as keyof typeof RUN.problems;
      expect({ title, status }).toEqual(RUN.problems[slug]);
      expect(error_count).toBe(errors?.length);
    }
  });

  it('explains every problem', async () => {
    const page = await readFile('docs/problems.md', 'utf8');
    for (const section of page.split(/^## /m).slice(1)) expect(section).toMatch(/^[a-z-]+\n+\S/);
  });

  it('is the page that the `type` of a problem links to, with an anchor for each problem', async () => {
    const { type } = expectProblem(await api.call('GET', '/nothing'), 'not-found');
    const page = await api.call('GET', type);
    expect(page.status).toBe(200);
    expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8');
    const anchors = Array.from(page.text.matchAll(/<h2 id="([^"]+)">/g), ([, anchor]) => anchor);
    expect(anchors.sort()).toEqual(slugs);
    expect(new URL(type).hash).toBe('#not-found');
  });

  it('is linked with the host that the client used', async () => {
    const { type } = expectProblem(
      await api.call('GET', `${api.origin.replace('127.0.0.1', 'localhost')}/nothing`),
      'not-found',
    );
    expect(new URL(type).hostname).toBe('localhost');
  });
});
