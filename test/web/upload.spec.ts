import { readFile } from 'node:fs/promises';
import { describe, expect, it } from '@jest/globals';
import type { Download, Page } from 'playwright-core';
import { violations } from './browser.js';
import { webTest } from './web-test.js';

const SHOES = '[\n{"object_id":"shoe-1","data":{"size":42.50}},\n{"object_id":"shoe-2","data":{"size":43}}\n]';

const web = webTest();

const open = (role: 'admin' | 'analyst' | 'producer'): Promise<Page> =>
  web.open('/batches?view=upload', web.project.keys[role]);

async function choose(page: Page, name: string, text: string): Promise<void> {
  await page.getByLabel('Choose a file').setInputFiles({ name, mimeType: '', buffer: Buffer.from(text) });
}

async function drop(page: Page, name: string, text: string): Promise<void> {
  const dataTransfer = await page.evaluateHandle(
    ([name, text]) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([text], name));
      return transfer;
    },
    [name, text] as const,
  );
  await page.dispatchEvent('.file-picker', 'drop', { dataTransfer });
}

const press = (page: Page, name: string): Promise<void> => page.getByRole('button', { name, exact: true }).click();
const heading = (page: Page, name: string): Promise<void> => page.getByRole('heading', { name }).waitFor();

/** Text of the stored objects of a batch, one per line. */
async function stored(batchId: string): Promise<string> {
  const headers = { Accept: 'application/x-ndjson' };
  return (await web.api.call('GET', `/batches/${batchId}?data_as=object`, { key: web.project.keys.analyst, headers }))
    .text;
}

async function textOf(download: Promise<Download>): Promise<string> {
  return readFile(await (await download).path(), 'utf8');
}

describe('an upload', () => {
  it('of a producer is checked first, and then stores the objects as they are written', async () => {
    const page = await open('producer');
    await choose(page, 'spring.json', SHOES);
    await page.getByRole('row', { name: '1 shoe-1' }).waitFor();
    expect(await page.getByLabel('Batch id').inputValue()).toBe('spring');
    await press(page, 'Check');
    await heading(page, 'The upload will create a batch of 2 objects.');
    expect((await web.api.call('GET', '/batches/spring', { key: web.project.keys.analyst })).status).toBe(404);
    await press(page, 'Upload');
    await heading(page, 'The batch spring is stored: 2 objects.');
    expect(await stored('spring')).toContain('"size":42.50');
    // A producer cannot read the batch.
    expect(await page.getByRole('link', { name: 'Show the batch' }).count()).toBe(0);
  });

  it('is checked again after a change, and follows the choice for a batch that exists', async () => {
    const page = await open('admin');
    await choose(page, 'any.json', `{"batch_id":"known","objects":${SHOES.replaceAll('shoe', 'known')}}`);
    expect(await page.getByLabel('Batch id').inputValue()).toBe('known');
    await press(page, 'Check');
    await press(page, 'Upload');
    await heading(page, 'The batch known is stored');
    await choose(page, 'known.ndjson', '{"object_id":"known-3","data":{}}\n{"object_id":"known-1","data":{}}\n');
    await press(page, 'Check');
    await page.getByRole('alert').getByText('"known" exists already, with other content.').waitFor();
    await page.getByLabel('If the batch exists').selectOption('skip');
    await press(page, 'Check');
    await heading(page, 'The upload will add 1 object to the batch, which then has 3 objects.');
    await page.getByText('1 object of the file exists already').waitFor();
    await page.getByLabel('If the batch exists').selectOption('replace');
    expect(await page.getByRole('button', { name: 'Upload' }).count()).toBe(0);
    await press(page, 'Check');
    await heading(page, 'The upload will replace the objects of the batch with 2 objects.');
    await press(page, 'Upload');
    await page.getByRole('link', { name: 'Show the batch known' }).click();
    await page.getByRole('complementary', { name: 'Batch known' }).getByRole('link', { name: 'known-3' }).waitFor();
  });

  it('with errors shows their places, and leaves these rows out where that is chosen', async () => {
    const page = await open('producer');
    const bad = ['{"object_id":"b-2"}', '{"object_id":"b-4","data":7}'];
    await choose(page, 'part.ndjson', `{"object_id":"b-1","data":{}}\n${bad[0] ?? ''}\n\n${bad[1] ?? ''}\n`);
    await press(page, 'Check');
    await page.getByRole('row', { name: '2 /data is missing' }).waitFor();
    await press(page, 'Check again without the objects that have errors');
    await heading(page, '2 objects with errors are left out');
    await page.getByRole('row', { name: '4 /data must be' }).waitFor();
    const download = page.waitForEvent('download');
    await press(page, 'Download these 2 rows');
    expect(await textOf(download)).toBe(`${bad.join('\n')}\n`);
    await press(page, 'Upload');
    await heading(page, 'The batch part is stored: 1 object of the file.');
    expect(await stored('part')).toContain('"b-1"');
  });

  it('of CSV is dropped on the page, has columns for the id and the time, and rejected rows with their header', async () => {
    const page = await open('producer');
    const header = 'sku;at;type;size';
    const bad = 'hat-2;yesterday;"a\nb";1';
    await drop(page, 'hats.csv', `${header}\nhat-1;2026-11-21T09:00:00Z;"x;y";058\n${bad}\n`);
    await page.getByRole('columnheader', { name: 'size' }).waitFor();
    await page.getByRole('cell', { name: 'x;y' }).waitFor();
    await page.getByLabel('Column of the object id').selectOption('sku');
    await page.getByLabel('Column of the time').selectOption('at');
    await page.getByLabel('Leave out objects with errors').check();
    await press(page, 'Check');
    await heading(page, '1 object with errors is left out');
    await page.getByRole('row', { name: '3 /observed_at must be a time' }).waitFor();
    const download = page.waitForEvent('download');
    await press(page, 'Download this row');
    expect(await textOf(download)).toBe(`${header}\n${bad}\n`);
    await press(page, 'Upload');
    await heading(page, 'The batch hats is stored: 1 object of the file.');
    expect(JSON.parse(await stored('hats'))).toEqual({
      object_id: 'hat-1',
      observed_at: '2026-11-21T09:00:00Z',
      data: { type: 'x;y', size: '058' },
    });
  });

  it('of CSV with an error in its header offers no upload of the other rows', async () => {
    const page = await open('producer');
    await choose(page, 'header.csv', 'id,\n1,2\n');
    await press(page, 'Check');
    await page.getByRole('alert').getByText('column 2 must be 1 to 255 characters').first().waitFor();
    expect(await page.getByRole('button', { name: /Check again|Download/ }).count()).toBe(0);
  });

  it('shows how much was sent, and can be cancelled', async () => {
    const page = await open('producer');
    await choose(page, 'long.csv', `n\n${'1\n'.repeat(100_000)}`);
    // The request is not sent on.
    await page.route('**/api/v1/batches/long*', () => undefined);
    await press(page, 'Check');
    await page.getByRole('progressbar', { name: 'Sent' }).waitFor();
    expect(await page.getByLabel('Batch id').isDisabled()).toBe(true);
    await press(page, 'Cancel');
    await page.getByText('The check sends the file, and stores nothing.').waitFor();
    await page.unroute('**/api/v1/batches/long*');
    await press(page, 'Check');
    await heading(page, 'The upload will create a batch of 100,000 objects.');
  });

  it.each([
    ['', 'The file is empty.'],
    ['[{"a":1}', 'The file is not JSON: '],
    ['{"a":\n1}', 'The file has neither a list of objects nor a batch'],
  ])('of a file that cannot be read says why: %j', async (text, reason) => {
    const page = await open('producer');
    await choose(page, 'x.json', text);
    await page.getByRole('alert').getByText(reason).waitFor();
  });

  it('is not offered to an analyst', async () => {
    const page = await open('analyst');
    await page.getByRole('heading', { name: 'Batches', exact: true }).waitFor();
    expect(await page.getByRole('button', { name: 'Upload a batch' }).count()).toBe(0);
  });

  it('follows the rules of WCAG AA, with errors and with a result', async () => {
    const page = await open('admin');
    await choose(page, 'bad.csv', 'id,subject\n1,a\n2\n');
    await press(page, 'Check');
    await page.getByRole('row', { name: '3 has 1 cell' }).waitFor();
    expect(await violations(page)).toEqual([]);
    await press(page, 'Check again without the objects that have errors');
    await heading(page, '1 object with errors is left out');
    expect(await violations(page)).toEqual([]);
  });
});
