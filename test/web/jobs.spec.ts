import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Page } from 'playwright-core';
import { TestApi, type TestProject } from '../harness/api.js';
import { submitJob, waitForJob, type Job } from '../jobs/jobs.js';
import { TestBrowser, violations, type TestPage } from './browser.js';

let api: TestApi;
let project: TestProject;
let browser: TestBrowser;
let stored: Job;
let failed: Job;
const opened: TestPage[] = [];

beforeAll(async () => {
  [api, browser] = await Promise.all([TestApi.shared(), TestBrowser.start()]);
  project = await api.project();
  stored = await submit('shoes', 'shoe-1');
  failed = await submit('boots', 'shoe-1');
});
afterAll(async () => {
  await browser.close();
  await api.stop();
  expect(opened.flatMap(({ errors }) => errors)).toEqual([]);
});

/** A job that has ended, which stores one object. */
async function submit(batchId: string, objectId: string): Promise<Job> {
  return waitForJob(api, project.keys.producer, await put(batchId, objectId));
}

function put(batchId: string, objectId: string, key = project.keys.producer): Promise<Job> {
  const body = { objects: [{ object_id: objectId, data: { size: 42 } }] };
  return submitJob(api, 'PUT', `/batches/${batchId}?on_conflict=replace`, { key, body });
}

async function open(query = '', key = project.keys.admin, options = {}): Promise<Page> {
  const page = await browser.open(api.origin, `/jobs${query}`, key, options);
  opened.push(page);
  return page.page;
}

const rows = (page: Page): Promise<string[]> => page.locator('tbody tr td:first-child').allInnerTexts();

describe('the list of jobs', () => {
  it('shows the newest first, and those in one state', async () => {
    const page = await open('', project.keys.analyst);
    await page.getByText('2 jobs').waitFor();
    expect(await rows(page)).toEqual([failed.id, stored.id]);
    await page.getByRole('row', { name: `${failed.id} failed Conflict` }).waitFor();
    await page.getByRole('button', { name: 'failed', exact: true }).click();
    await page.getByText('1 job', { exact: true }).waitFor();
    expect([await rows(page), new URL(page.url()).search]).toEqual([[failed.id], '?status=failed']);
    await page.getByRole('button', { name: 'queued', exact: true }).click();
    await page.getByRole('heading', { name: 'There are no queued jobs' }).waitFor();
  });

  it('has the own jobs of a producer', async () => {
    const other = await api.project();
    const page = await open('', other.keys.producer);
    await page.getByRole('heading', { name: 'There are no jobs' }).waitFor();
    const own = await open('', project.keys.producer);
    await own.getByText('2 jobs').waitFor();
  });
});

describe('a job', () => {
  it('that succeeded is shown with its result', async () => {
    const page = await open(`?job=${stored.id}`);
    const panel = page.getByRole('complementary', { name: `Job ${stored.id}` });
    await panel.getByRole('row', { name: 'HTTP status 201' }).waitFor();
    expect(JSON.parse(await panel.locator('pre').innerText())).toMatchObject({ batch_id: 'shoes', object_count: 1 });
    await panel.getByRole('link', { name: 'Show the batch' }).click();
    await page.getByRole('complementary', { name: 'Batch shoes' }).getByRole('link', { name: 'shoe-1' }).waitFor();
  });

  it('that does not exist is reported', async () => {
    const page = await open('?job=1');
    await page.getByRole('complementary').getByText('Job not found.').waitFor();
  });

  it('that failed is shown with its problem, and can be retried by an admin only', async () => {
    const reader = await open(`?job=${failed.id}`, project.keys.analyst);
    await reader.getByRole('alert').getByText('"shoe-1" exists already').first().waitFor();
    expect(await reader.getByRole('button', { name: 'Retry' }).count()).toBe(0);

    const page = await open(`?status=failed&job=${failed.id}`);
    expect((await api.call('DELETE', '/batches/shoes?cascade=true', { key: project.keys.admin })).status).toBe(204);
    await page.getByRole('button', { name: 'Retry' }).click();
    await page.getByRole('row', { name: 'state succeeded' }).waitFor();
    await page.getByRole('heading', { name: 'There are no failed jobs' }).waitFor();
  });

  it('that runs is followed until it has ended', async () => {
    const { keys, projectId } = await api.project();
    expect((await api.call('PUT', '/batches/held', { key: keys.admin, body: { objects: [] } })).status).toBe(201);
    const page = await api.db.transaction(async (tx) => {
      // The job waits for this lock.
      await tx.query(`SELECT FROM batches WHERE project_id = $1 FOR UPDATE`, [projectId]);
      const job = await put('held', 'held-1', keys.producer);
      const page = await open(`?job=${job.id}`, keys.admin);
      await page.getByText('The result appears here').waitFor();
      await page.getByText('Refreshed every 2 s').waitFor();
      await page.getByRole('row', { name: 'state running' }).waitFor();
      return page;
    });
    await page.getByRole('row', { name: 'state succeeded' }).waitFor();
    await page.getByRole('cell', { name: 'succeeded' }).first().waitFor();
    await page.getByText('Refreshed every 2 s').waitFor({ state: 'detached' });
  });
});

describe('everybody can use the jobs', () => {
  it.each([
    ['light', 1280],
    ['dark', 390],
  ] as const)('in %s at a width of %d pixels, by the rules of WCAG AA', async (colorScheme, width) => {
    const page = await open(`?job=${stored.id}`, undefined, { colorScheme, viewport: { width, height: 844 } });
    await page.getByRole('heading', { name: 'Result' }).waitFor();
    await page.getByText('2 jobs').waitFor();
    expect(await violations(page)).toEqual([]);
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(width);
  });
});
