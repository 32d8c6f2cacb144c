import { describe, expect, it } from '@jest/globals';
import type { Page } from 'playwright-core';
import { TestApi } from '../harness/api.js';
import { scrollToRow, violations } from './browser.js';
import { webTest, type WebTest } from './web-test.js';

/** More than a page of the list. */
const SMALL_BATCHES = 120;

const web: WebTest = webTest(async () => {
  for (let index = 0; index < SMALL_BATCHES; index++) await create(`small-${String(index)}`, 1);
  await create('shoes', 3, { colour: 'red' });
  await create('none', 0);
});

async function create(batchId: string, count: number, data: object = { size: 42 }): Promise<void> {
  const objects = Array.from({ length: count }, (_, index) => ({ object_id: `${batchId}-${String(index)}`, data }));
  await web.send('POST', '/batches', { batch_id: batchId, objects });
}

const open = (query = '', role: 'admin' | 'analyst' | 'producer' = 'analyst'): Promise<Page> =>
  web.open(`/batches${query}`, web.project.keys[role]);

const rows = (page: Page): Promise<string[]> => page.locator('tbody tr td:first-child').allInnerTexts();

describe('the list of batches', () => {
  it('shows the newest first, their number, and all of them while it is scrolled', async () => {
    const page = await open();
    await page.getByText('122 batches').waitFor();
    expect((await rows(page)).slice(0, 3)).toEqual(['none', 'shoes', 'small-119']);
    await scrollToRow(page, 'html', 'small-0');
    expect(await rows(page)).toHaveLength(122);
  });

  it('has the batches with an object that matches the filter in the URL', async () => {
    const page = await open(`?data=${encodeURIComponent('{"colour":"red"}')}`);
    await page.getByText('1 batch', { exact: true }).waitFor();
    expect(await rows(page)).toEqual(['shoes']);
    await page.getByRole('button', { name: 'Remove: colour is red' }).click();
    await page.getByText('122 batches').waitFor();
  });

  it('without matches says what to do', async () => {
    const page = await open('?subject=nobody');
    await page.getByRole('heading', { name: 'No batches match' }).waitFor();
  });
});

describe('a batch', () => {
  it('is shown with its size, its objects and a download', async () => {
    const page = await open();
    await page.getByRole('button', { name: 'shoes' }).click();
    const panel = page.getByRole('complementary', { name: 'Batch shoes' });
    await panel.getByRole('link', { name: 'shoes-2' }).waitFor();
    expect(await panel.getByRole('row', { name: 'objects' }).innerText()).toMatch(/objects\s+3/);
    expect(await panel.getByRole('button', { name: 'Delete' }).count()).toBe(0);
    await panel.getByRole('button', { name: 'Download' }).click();
    await page.getByRole('dialog').getByText('3 objects').waitFor();
    // Escape closes the dialog, and not the panel below it.
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    await panel.getByRole('link', { name: 'Show the objects' }).click();
    await page.getByText('3 objects').waitFor();
    expect(new URL(page.url()).search).toBe('?batch_id=shoes');
  });

  it('without objects is shown, and one that does not exist is reported', async () => {
    const page = await open('?batch=none');
    await page.getByRole('complementary').getByRole('row', { name: 'objects 0' }).waitFor();
    const other = await open('?batch=gone');
    await other.getByRole('heading', { name: 'Batch not found' }).waitFor();
  });
});

describe('deleting a batch', () => {
  it('needs its id, and shows the number of objects', async () => {
    await create('old', 2);
    const page = await open('?batch=old', 'admin');
    await page.getByRole('button', { name: 'Delete' }).click();
    const button = page.getByRole('button', { name: 'Delete the batch and 2 objects' });
    expect(await button.isDisabled()).toBe(true);
    await page.getByLabel('Type the id').fill('ol');
    expect(await button.isDisabled()).toBe(true);
    await page.getByLabel('Type the id').fill('old');
    await button.click();
    await page.getByText('The batch old with 2 objects was deleted.').waitFor();
    await page.getByText('122 batches').waitFor();
    expect([await web.statusOf('/batches/old'), await web.statusOf('/objects/old-0')]).toEqual([404, 404]);
  });

  it('deletes nothing if objects were added since they were counted', async () => {
    await create('growing', 1);
    const page = await open('?batch=growing', 'admin');
    await page.getByRole('button', { name: 'Delete' }).click();
    await page.getByLabel('Type the id').fill('growing');
    await web.send('POST', '/objects', { batch_id: 'growing', object_id: 'growing-late', data: { size: 1 } });
    await page.getByRole('button', { name: 'Delete the batch and 1 object' }).click();
    await page.getByRole('alert').getByText('Precondition failed').waitFor();
    expect(await web.statusOf('/objects/growing-late')).toBe(200);
    await page.getByRole('button', { name: 'Try again' }).click();
    await page.getByRole('button', { name: 'Delete the batch and 2 objects' }).click();
    await page.getByText('The batch growing with 2 objects was deleted.').waitFor();
  });
});

describe('the dialog that deletes a batch', () => {
  const deleteText = async (page: Page): Promise<string> => {
    await page.getByRole('button', { name: 'Delete' }).click();
    return page.getByRole('dialog').getByText('This deletes the batch').innerText();
  };

  it('says for how long the batch can be restored', async () => {
    const page = await open('?batch=shoes', 'admin');
    expect(await deleteText(page)).toContain('can be restored for 24 hours');
  });

  it.each([
    ['says nothing where a server of an earlier version does not tell', '{}'],
    ['says nothing where the limits cannot be read', 'not JSON'],
  ])('%s, and can be deleted', async (_, body) => {
    await create('untold', 1);
    const page = await open('?batch=untold', 'admin');
    await page.route('**/api/v1/limits', (route) => route.fulfill({ contentType: 'application/json', body }));
    expect(await deleteText(page)).toBe('This deletes the batch untold with 1 object.');
    await page.getByLabel('Type the id').fill('untold');
    await page.getByRole('button', { name: 'Delete the batch and 1 object' }).click();
    await page.getByText('The batch untold with 1 object was deleted.').waitFor();
  });

  it('says so where a server keeps nothing', async () => {
    const api = await TestApi.start({ UNDELETE_HOURS: '0' });
    try {
      const { admin: key } = (await api.project()).keys;
      await api.call('POST', '/batches', { key, body: { batch_id: 'shoes', objects: [] } });
      const page = await web.open('/batches?batch=shoes', key, {}, api);
      expect(await deleteText(page)).toContain('cannot be restored');
      await page.goto(`${api.origin}/browse/admin?tab=deletions`);
      await page.getByText('This server keeps nothing that was deleted.').waitFor();
    } finally {
      await api.stop();
    }
  });
});

describe('deleting a batch that is gone', () => {
  it('is reported', async () => {
    await create('gone-soon', 1);
    const page = await open('?batch=gone-soon', 'admin');
    await page.getByRole('button', { name: 'Delete' }).waitFor();
    await web.send('DELETE', '/batches/gone-soon?cascade=true');
    await page.getByRole('button', { name: 'Delete' }).click();
    await page.getByRole('alert').getByText('Not Found').waitFor();
  });
});

it('follows the rules of WCAG AA, also while a batch is deleted, and without batches', async () => {
  const page = await open('?batch=shoes', 'admin');
  await page.getByRole('link', { name: 'shoes-2' }).waitFor();
  await page.getByText('122 batches').waitFor();
  expect(await violations(page)).toEqual([]);
  await page.getByRole('button', { name: 'Delete' }).click();
  await page.getByLabel('Type the id').waitFor();
  expect(await violations(page)).toEqual([]);
  const nothing = await open('?subject=nobody&batch=gone');
  await nothing.getByRole('heading', { name: 'No batches match' }).waitFor();
  expect(await violations(nothing)).toEqual([]);
});
