import { readFile } from 'node:fs/promises';
import { describe, expect, it } from '@jest/globals';
import type { Page } from 'playwright-core';
import { encrypt } from '../encryption/encrypted-project.js';
import { ALL_LOOKS, scrollToRow, violations } from './browser.js';
import { webTest, type WebTest } from './web-test.js';

const OBJECTS = 1_200;
const COLOURS = ['red', 'green', 'blue'];

const web: WebTest = webTest(async () => {
  const objects = Array.from({ length: OBJECTS }, (_, index) => ({
    object_id: `shoe-${String(index)}`,
    subject: `till-${String(index % 4)}`,
    observed_at: new Date(Date.UTC(2024, 4, 1) + index * 3_600_000).toISOString(),
    data: { colour: COLOURS[index % 3], size: 36 + (index % 10), 'owner.city': index % 2 === 0 ? 'Porto' : 'Lisbon' },
  }));
  await web.send('POST', '/batches', { batch_id: 'shoes', objects });
});

const openObjects = (query = ''): Promise<Page> => web.open(`/objects${query}`, web.project.keys.analyst);

const ids = (page: Page): Promise<string[]> => page.locator('tbody tr td:first-child').allInnerTexts();

function parameter(page: Page, name: string): string | null {
  return new URL(page.url()).searchParams.get(name);
}

describe('the key', () => {
  it('is requested first, and one that the server rejects is requested again', async () => {
    const page = await web.open('');
    await page.getByLabel('API key').fill('stw_analyst_unknown');
    await page.getByRole('button', { name: 'Open' }).click();
    await page.getByRole('alert').getByText('does not accept this key').waitFor();
    await page.getByLabel('API key').fill(web.project.keys.analyst);
    await page.getByRole('button', { name: 'Open' }).click();
    await page.getByText('1,200 objects').waitFor();
    expect(new URL(page.url()).pathname).toBe('/browse/objects');
    // It is in the storage of the tab only.
    expect(await page.evaluate(() => [sessionStorage.length, Object.keys(localStorage), document.cookie])).toEqual([
      1,
      ['stowage.theme'],
      '',
    ]);
  });

  it('of a producer cannot be used for a view of objects', async () => {
    const page = await web.open('/objects', web.project.keys.producer);
    await page.getByRole('heading', { name: 'A key with the role producer cannot use this view' }).waitFor();
    await page.getByRole('link', { name: 'Go to Batches' }).click();
    await page.getByRole('heading', { name: 'Upload a batch' }).waitFor();
  });
});

describe('the table', () => {
  it('shows the newest objects first, and all of them while it is scrolled', async () => {
    const page = await openObjects();
    await page.getByText('1,200 objects').waitFor();
    // The rows come with the columns, which may be later than the count.
    await page.getByRole('button', { name: 'shoe-1199' }).waitFor();
    expect((await ids(page))[0]).toBe('shoe-1199');
    await scrollToRow(page, '.table-scroller', 'shoe-0');
    // Only rows near the visible ones exist.
    expect((await ids(page)).length).toBeLessThan(100);
  });

  it('is sorted by a column', async () => {
    const page = await openObjects();
    await page.getByRole('button', { name: 'size', exact: true }).last().click();
    await page.locator('th[aria-sort=ascending]').waitFor();
    expect(parameter(page, 'sort')).toBe('data.size');
    await page.locator('tbody tr:nth-child(2) td', { hasText: /^36$/ }).waitFor();
  });

  it('is moved through with the arrow keys', async () => {
    const page = await openObjects();
    await page.getByRole('button', { name: 'shoe-1199' }).focus();
    await page.keyboard.press('ArrowDown');
    expect(await page.evaluate(() => document.activeElement?.textContent)).toBe('shoe-1198');
  });

  it('has the columns and values of the objects that match', async () => {
    const { keys } = await web.api.project();
    const common = Object.fromEntries(Array.from({ length: 8 }, (_, at) => [`common-${String(at)}`, at]));
    await web.send('POST', '/batches', { batch_id: 'many', objects: [{ data: common }, { data: common }] }, keys.admin);
    await web.send('POST', '/batches', { batch_id: 'few', objects: [{ data: { rare: 7 } }] }, keys.admin);
    const page = await web.open('/objects?batch_id=few', keys.analyst);
    await page.locator('td', { hasText: /^7$/ }).waitFor();
    await page.getByTitle('Only objects with this value').filter({ hasText: '7' }).waitFor();
    await page.getByRole('button', { name: 'Remove all' }).click();
    await page.getByText('3 objects').waitFor();
    expect(await page.locator('th').allInnerTexts()).not.toContain('rare');
  });

  it('has the columns that were picked', async () => {
    const page = await openObjects();
    await page.getByRole('button', { name: 'Columns' }).click();
    await page.getByRole('checkbox', { name: /^size/ }).uncheck();
    await page.getByRole('button', { name: 'Close' }).click();
    await page.reload();
    await page.getByRole('button', { name: 'colour', exact: true }).last().waitFor();
    expect(await page.locator('th').allInnerTexts()).not.toContain('size');
  });
});

describe('a key whose values are encrypted', () => {
  it('has no values beside the table, no order and no condition on its values', async () => {
    const project = await web.api.project();
    await encrypt(web.api, project, ['name']);
    const objects = [{ object_id: 'a', data: { name: 'Ada', size: 42 } }];
    await web.send('POST', '/batches', { batch_id: 'people', objects }, project.keys.admin);
    const page = await web.open('', project.keys.analyst);
    const refused: string[] = [];
    page.on('response', (response) => {
      if (response.status() >= 400) refused.push(response.url());
    });
    await page.goto(`${web.api.origin}/browse/objects`);
    await page.getByTitle('Only objects with this value').filter({ hasText: '42' }).waitFor();
    await page.getByLabel('Values', { exact: true }).getByText('encrypted').waitFor();
    await page.locator('th', { hasText: 'name encrypted' }).waitFor();
    expect(await page.getByTitle('Sort by name').count()).toBe(0);
    await page.locator('tbody').getByRole('button', { name: 'Ada' }).click();
    expect(await page.getByRole('menuitem').allInnerTexts()).toEqual(['Copy']);
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Add condition' }).click();
    await page.getByLabel('Key', { exact: true }).fill('name');
    expect(await page.getByLabel('Operator').locator('option').allInnerTexts()).toEqual(['exists', 'is missing']);
    await page.getByRole('button', { name: 'Add', exact: true }).click();
    await page.getByRole('button', { name: 'Remove: name exists' }).waitFor();
    await page.getByText('1 object').waitFor();
    expect(refused).toEqual([]);
  });
});

describe('the filter', () => {
  it('is built by clicking a value, and is the URL', async () => {
    const page = await openObjects();
    await page.getByTitle('Only objects with this value').filter({ hasText: 'red' }).click();
    await page.getByText('400 objects').waitFor();
    expect(parameter(page, 'data')).toBe('{"colour":"red"}');
    await page.reload();
    await page.getByText('400 objects').waitFor();
    await page.getByRole('button', { name: 'Remove: colour is red' }).click();
    await page.getByText('1,200 objects').waitFor();
  });

  it('names a key with a dot as it is written', async () => {
    const page = await openObjects();
    await page.locator('tbody').getByRole('button', { name: 'Porto' }).first().click();
    await page.getByRole('menuitem', { name: 'Not this' }).click();
    await page.getByText('600 objects').waitFor();
    expect(parameter(page, 'data')).toBe('{"$pair":{"key":"owner.city","value":{"$ne":"Porto"}}}');
  });

  it('takes the parameters key, value and match of the API as conditions', async () => {
    const any = encodeURIComponent('{"colour":"red","size":36}');
    const page = await openObjects(`?data=${any}&match=any&key=size&value=36`);
    await page.getByText('120 objects').waitFor();
    expect(['match', 'key', 'value'].map((name) => parameter(page, name))).toEqual([null, null, null]);
    expect(parameter(page, 'data')).toBe('{"$or":[{"colour":"red"},{"size":36}],"size":{"$in":["36",36]}}');
    // Values under the same filter.
    await page.getByTitle('Only objects with this value').filter({ hasText: '36' }).getByText('120').waitFor();
  });

  it('takes a typed condition, and its opposite', async () => {
    const page = await openObjects();
    await page.getByRole('button', { name: 'Add condition' }).click();
    await page.getByLabel('Key').fill('size');
    await page.getByLabel('Operator').selectOption('gte');
    await page.getByRole('textbox', { name: 'Value' }).fill('44');
    await page.getByRole('button', { name: 'Add', exact: true }).click();
    await page.getByText('240 objects').waitFor();
    expect(parameter(page, 'data')).toBe('{"size":{"$gte":44}}');
  });

  it('is set to a span of time by dragging', async () => {
    const page = await openObjects();
    await page.getByText('1,200 objects').waitFor();
    const box = await page.locator('.histogram .u-over').boundingBox();
    if (box === null) throw new Error('the chart is not visible');
    await page.mouse.move(box.x + box.width * 0.5, box.y + 20);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.75, box.y + 20, { steps: 5 });
    await page.mouse.up();
    await page.getByText(/^\d{3} objects/).waitFor();
    expect(parameter(page, 'observed_from')).toMatch(/^2024-05-/);
    expect(parameter(page, 'observed_until')).toMatch(/^2024-06-/);
  });

  it('that is wrong shows the problem with its place', async () => {
    const page = await openObjects(`?data=${encodeURIComponent('{"size":{"$near":1}}')}`);
    const alert = page.getByRole('alert').filter({ hasText: 'What this error means' }).first();
    await alert.waitFor();
    expect(await alert.locator('li').innerText()).toContain('data is invalid at /size/$near: is not an operator');
  });

  it('without matches says what to do', async () => {
    const page = await openObjects('?subject=nobody');
    await page.getByRole('heading', { name: 'No objects match' }).waitFor();
  });
});

describe('an object', () => {
  it('is shown with its batch, its subject and the history of the subject', async () => {
    const page = await openObjects();
    await page.getByRole('button', { name: 'shoe-1199' }).click();
    const panel = page.getByRole('complementary', { name: 'Object shoe-1199' });
    await panel.getByRole('heading', { name: 'Newest of till-3' }).waitFor();
    await panel.getByRole('button', { name: 'JSON', exact: true }).click();
    expect(JSON.parse(await panel.locator('pre').innerText())).toMatchObject({
      object_id: 'shoe-1199',
      batch_id: 'shoes',
    });
    await panel.getByRole('button', { name: 'Table' }).click();
    await panel.getByRole('button', { name: 'till-3', exact: true }).click();
    await page.getByText('300 objects').waitFor();
    expect(parameter(page, 'subject')).toBe('till-3');
  });
});

describe('the answer is taken away', () => {
  it('as a file, with the number of objects first', async () => {
    const page = await openObjects(`?data=${encodeURIComponent('{"colour":"red"}')}`);
    await page.getByRole('button', { name: 'Download' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByText('400 objects').waitFor();
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      dialog.getByRole('button', { name: 'Download' }).click(),
    ]);
    expect(download.suggestedFilename()).toBe('objects.csv');
    const lines = (await readFile(await download.path(), 'utf8')).trim().split('\r\n');
    expect(lines[0]).toContain('colour');
    expect(lines.filter((line) => line.includes('red'))).toHaveLength(400);
  });

  it('as a request', async () => {
    const page = await openObjects(`?data=${encodeURIComponent('{"colour":"red"}')}`);
    await page.getByRole('button', { name: 'Copy as URL' }).click();
    await page.getByRole('button', { name: 'Copied' }).waitFor();
    const url = await page.evaluate(() => navigator.clipboard.readText());
    const reply = await web.api.call('GET', url, { key: web.project.keys.analyst });
    expect(reply.json<{ count: number }>().count).toBe(400);
    await page.getByRole('button', { name: 'Copy as curl' }).click();
    const curl = `curl -s -H "X-Api-Key: $KEY" -G '${web.api.origin}/api/v1/objects' --data-urlencode 'data={"colour":"red"}'`;
    await page.waitForFunction(async (text) => (await navigator.clipboard.readText()) === text, curl);
  });
});

describe('everybody can use it, by the rules of WCAG AA', () => {
  it('with an object beside the table', async () => {
    const page = await openObjects('?object=shoe-7');
    await page.getByRole('heading', { name: 'Newest of till-3' }).waitFor();
    await page.getByTitle('Only objects with this value').first().waitFor();
    expect(await violations(page, { looks: ALL_LOOKS })).toEqual([]);
  });

  it('in its dialogs and forms', async () => {
    const page = await openObjects();
    await page.getByTitle('Only objects with this value').first().waitFor();
    await page.locator('tbody').getByRole('button', { name: 'Porto' }).first().click();
    await page.getByRole('menuitem', { name: 'Not this' }).waitFor();
    expect(await violations(page)).toEqual([]);
    await page.keyboard.press('Escape');
    for (const [name, field] of [
      ['Add condition', 'Operator'],
      ['As JSON', 'Filter as JSON'],
      ['Batch, subject, time', 'observed from'],
    ] as const) {
      await page.getByRole('button', { name }).click();
      await page.getByLabel(field).waitFor();
      expect(await violations(page, { within: '.filter-bar' })).toEqual([]);
    }
    for (const name of ['Columns', 'Download']) {
      await page.getByRole('button', { name }).click();
      await page.getByRole('dialog').getByText('1,200 objects').first().waitFor();
      expect(await violations(page, { within: 'dialog' })).toEqual([]);
      await page.keyboard.press('Escape');
    }
  });

  it('with an error, without objects, and without a permission', async () => {
    const wrong = await openObjects('?data={&object=none');
    await wrong.getByRole('alert').nth(1).waitFor();
    expect(await violations(wrong)).toEqual([]);
    const nothing = await openObjects('?subject=nobody');
    await nothing.getByRole('heading', { name: 'No objects match' }).waitFor();
    expect(await violations(nothing)).toEqual([]);
    const forbidden = await web.open('/objects', web.project.keys.producer);
    await forbidden.getByRole('link', { name: 'Go to Batches' }).waitFor();
    expect(await violations(forbidden)).toEqual([]);
    const rejected = await web.open('', 'stw_analyst_unknown');
    await rejected.getByRole('alert').waitFor();
    expect(await violations(rejected)).toEqual([]);
  });

  it('moves nothing while the values arrive', async () => {
    const page = await openObjects();
    await page.getByTitle('Only objects with this value').first().waitFor();
    await page.waitForLoadState('networkidle');
    const shift = await page.evaluate<number>('layoutShift');
    expect(shift).toBeLessThan(0.05);
  });
});
