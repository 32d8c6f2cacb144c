import { describe, expect, it } from '@jest/globals';
import type { Page } from 'playwright-core';
import { submitJob, waitForJob, type Job } from '../jobs/jobs.js';
import { violations } from './browser.js';
import { webTest, type WebTest } from './web-test.js';

/** How often the page refreshes itself. */
const POLLS = 150;

let stored: Job;
let failed: Job;

const web: WebTest = webTest(async () => {
  stored = await submit('shoes', 'shoe-1');
  failed = await submit('boots', 'shoe-1');
});

/** A job that has ended, which stores one object. */
async function submit(batchId: string, objectId: string): Promise<Job> {
  return waitForJob(web.api, web.project.keys.producer, await put(batchId, objectId));
}

function put(batchId: string, objectId: string, key = web.project.keys.producer): Promise<Job> {
  const body = { objects: [{ object_id: objectId, data: { size: 42 } }] };
  return submitJob(web.api, 'PUT', `/batches/${batchId}?on_conflict=replace`, { key, body });
}

const open = (query = '', key = web.project.keys.admin): Promise<Page> => web.open(`/jobs${query}`, key);

/** Works while a job of another project runs. @param work gets its id and an admin key */
async function whileHeld<T>(work: (jobId: string, key: string) => Promise<T>): Promise<T> {
  const { keys, projectId } = await web.api.project();
  await web.send('PUT', '/batches/held', { objects: [] }, keys.admin);
  return web.api.db.transaction(async (tx) => {
    // The job waits for this lock.
    await tx.query(`SELECT FROM batches WHERE project_id = $1 FOR UPDATE`, [projectId]);
    const { id } = await put('held', 'held-1', keys.producer);
    return work(id, keys.admin);
  });
}

const rows = (page: Page): Promise<string[]> => page.locator('tbody tr td:first-child').allInnerTexts();

describe('the list of jobs', () => {
  it('shows the newest first, and those in one state', async () => {
    const page = await open('', web.project.keys.analyst);
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
    const other = await web.api.project();
    const page = await open('', other.keys.producer);
    await page.getByRole('heading', { name: 'There are no jobs' }).waitFor();
    const own = await open('', web.project.keys.producer);
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
    const reader = await open(`?job=${failed.id}`, web.project.keys.analyst);
    await reader.getByRole('alert').getByText('"shoe-1" exists already').first().waitFor();
    expect(await reader.getByRole('button', { name: 'Retry' }).count()).toBe(0);

    const page = await open(`?status=failed&job=${failed.id}`);
    await web.send('DELETE', '/batches/shoes?cascade=true');
    await page.getByRole('button', { name: 'Retry' }).click();
    await page.getByRole('row', { name: 'state succeeded' }).waitFor();
    await page.getByRole('heading', { name: 'There are no failed jobs' }).waitFor();
  });

  it('that runs is followed until it has ended', async () => {
    const page = await whileHeld(async (jobId, key) => {
      const page = await open(`?job=${jobId}`, key);
      await page.getByText('The result appears here').waitFor();
      await page.getByText('Refreshed every 2 s').waitFor();
      await page.getByRole('row', { name: 'state running' }).waitFor();
      return page;
    });
    await page.getByRole('row', { name: 'state succeeded' }).waitFor();
    await page.getByRole('cell', { name: 'succeeded' }).first().waitFor();
    await page.getByText('Refreshed every 2 s').waitFor({ state: 'detached' });
  });

  it('that runs for long is followed for five minutes, and again after a click', async () => {
    await whileHeld(async (jobId, key) => {
      const page = await open('', key);
      await page.getByRole('button', { name: jobId }).waitFor();
      const requests: string[] = [];
      page.on('request', (request) => requests.push(request.url()));
      await page.clock.install();
      await page.reload();
      await page.getByText('Refreshed every 2 s').waitFor();
      await page.clock.runFor('06:00');
      await page.getByText('Refreshed every 2 s').waitFor({ state: 'detached' });
      await page.waitForLoadState('networkidle');
      const sent = requests.length;
      expect(sent).toBeGreaterThan(POLLS);
      await page.clock.runFor('06:00');
      expect(requests.slice(sent)).toEqual([]);
      await page.getByRole('button', { name: 'Refresh' }).click();
      await page.getByText('Refreshed every 2 s').waitFor();
    });
  });
});

it('follows the rules of WCAG AA, with a result and with a problem', async () => {
  const page = await open(`?job=${stored.id}`);
  await page.getByRole('heading', { name: 'Result' }).waitFor();
  await page.getByText('2 jobs').waitFor();
  expect(await violations(page)).toEqual([]);
  const missing = await open('?job=1&status=lost');
  await missing.getByRole('alert').nth(1).waitFor();
  expect(await violations(missing)).toEqual([]);
});
