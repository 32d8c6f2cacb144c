import { readFile } from 'node:fs/promises';
import { describe, expect, it } from '@jest/globals';
import type { Page } from 'playwright-core';
import { ALL_LOOKS, violations } from './browser.js';
import { webTest, type WebTest } from './web-test.js';

/** One more than a response may have. */
const GROUPS = 10_001;

const post = (path: string, body: unknown): Promise<void> => web.send('POST', path, body);

const web: WebTest = webTest(() =>
  Promise.all([
    ...['attic', 'cellar'].map((room, index) =>
      post(`/buildings/HQ/rooms/${room}/temperatures`, [
        { temperature: 20.5 + index, recorded_at: '2024-12-10T08:10:00Z' },
        { temperature: 21 + index, recorded_at: '2024-12-10T08:40:00Z' },
        { temperature: -0.5, recorded_at: '2024-12-10T23:30:00Z' },
      ]),
    ),
    post('/buildings/Annex/rooms/attic/temperatures', { temperature: 99, recorded_at: '2024-12-10T08:10:00Z' }),
    ...['line-1', 'line-2'].map((id, index) =>
      post('/factories', {
        id,
        factory: {
          chart_data: {
            sprocket_production_actual: [32 + 10 * index, 29],
            sprocket_production_goal: [32, 30],
            time: [1_611_194_818, 1_611_194_878],
          },
        },
      }),
    ),
    post('/batches', {
      batch_id: 'fleet',
      objects: Array.from({ length: 12 }, (_, index) => ({
        subject: `gate-${String(index)}`,
        observed_at: `2024-12-${String(10 + index)}T12:00:00Z`,
        data: { version: index < 9 ? `1.${String(index)}.0` : '2.0.0' },
      })),
    }),
    post('/batches', { batch_id: 'many', objects: Array.from({ length: GROUPS }, (_, n) => ({ data: { n } })) }),
  ]),
);

const open = (parameters: Record<string, string> = {}, options = {}): Promise<Page> =>
  web.open(`/charts?${new URLSearchParams(parameters).toString()}`, web.project.keys.analyst, options);

const ROOMS = { op: 'avg', key: 'temperature', series: 'data.room', data: '{"building":"HQ"}', bucket: '1h' };
const FACTORIES = {
  op: 'sum',
  key: 'sprocket_production_actual',
  second_key: 'sprocket_production_goal',
  by: 'subject',
};
const VERSIONS = { series: 'data.version', chart: 'bars', bucket: '1d', batch_id: 'fleet', time_zone: 'UTC' };

function parameter(page: Page, name: string): string | null {
  return new URL(page.url()).searchParams.get(name);
}

/** The table of the numbers, a list of cells for each row. */
async function numbers(page: Page): Promise<string[][]> {
  const table = page.getByRole('region', { name: 'Numbers' });
  await table.waitFor();
  return table
    .locator('tr')
    .evaluateAll((rows) => rows.map((row) => Array.from(row.children, (cell) => cell.textContent)));
}

describe('over time', () => {
  it('draws the rooms of a building in the time zone of the browser', async () => {
    const page = await open(ROOMS, { timezoneId: 'Asia/Kabul' });
    expect(await numbers(page)).toEqual([
      ['time (Asia/Kabul)', 'attic', 'cellar'],
      ['2024-12-10 12:00', '20.5', '21.5'],
      ['2024-12-10 13:00', '21', '22'],
      ['2024-12-11 04:00', '-0.5', '-0.5'],
    ]);
  });

  it('draws in another time zone, which is then in the URL', async () => {
    const page = await open({ ...ROOMS, bucket: '1d' }, { timezoneId: 'Asia/Kabul' });
    await page.getByLabel('Time zone').fill('Europe/Lisbon');
    await page.keyboard.press('Enter');
    await page.getByText('time (Europe/Lisbon)').waitFor();
    expect(await numbers(page)).toEqual([
      ['time (Europe/Lisbon)', 'attic', 'cellar'],
      ['2024-12-10', '13.6667', '14.3333'],
    ]);
    expect(parameter(page, 'time_zone')).toBe('Europe/Lisbon');
  });

  it('shows the time and the values under the pointer', async () => {
    const page = await open(ROOMS, { timezoneId: 'UTC' });
    await page.locator('.time-chart .u-over').hover({ position: { x: 1_000, y: 100 } });
    await page.locator('.tooltip').waitFor();
    expect(await page.locator('.tooltip').innerText()).toMatch(/2024-12-10 23:00\s+attic\s+-0.5\s+cellar\s+-0.5/);
  });

  it('draws the versions of a fleet: eight at first, others by a click, all of it in the URL', async () => {
    const page = await open(VERSIONS);
    const legend = page.getByRole('list', { name: 'Series' });
    await legend.getByRole('button', { name: '2.0.0', pressed: true }).waitFor();
    expect(await legend.getByRole('button', { pressed: true }).count()).toBe(8);
    await legend.getByRole('button', { name: '2.0.0' }).click();
    await legend.getByRole('button', { pressed: false }).last().click();
    await legend.getByRole('button', { name: '2.0.0', pressed: false }).waitFor();
    await page.reload();
    await legend.getByRole('button', { name: '2.0.0', pressed: false }).waitFor();
    expect(await legend.getByRole('button', { pressed: true }).count()).toBe(8);
    expect((await numbers(page))[0]).not.toContain('2.0.0');
  });

  it('is narrowed to a span by dragging, and chooses a bucket that suits it', async () => {
    const { bucket: _, ...automatic } = VERSIONS;
    const page = await open(automatic);
    const chosen = page.getByLabel('Bucket').locator('option', { hasText: 'automatic' });
    await chosen.getByText('automatic (3h)').waitFor({ state: 'attached' });
    // Waits until the chart has its size.
    await page.locator('.time-chart .u-over').hover();
    const box = await page.locator('.time-chart .u-over').boundingBox();
    if (box === null) throw new Error('the chart is not visible');
    await page.mouse.move(box.x + box.width * 0.25, box.y + 20);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.5, box.y + 20, { steps: 5 });
    await page.mouse.up();
    await chosen.getByText('automatic (1h)').waitFor({ state: 'attached' });
    expect(parameter(page, 'observed_from')).toMatch(/^2024-12-1/);
    await page.getByRole('button', { name: /Remove: observed from/ }).waitFor();
  });
});

describe('by a value', () => {
  it('compares actual and goal of factories, and saves the numbers as CSV', async () => {
    const page = await open(FACTORIES);
    expect(await numbers(page)).toEqual([
      ['subject', 'sprocket_production_actual', 'sprocket_production_goal'],
      ['line-2', '71', '62'],
      ['line-1', '61', '62'],
    ]);
    await page.getByLabel('Order').selectOption('by subject');
    await page.getByRole('row').nth(1).getByText('line-1').waitFor();
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name: 'Download CSV' }).click(),
    ]);
    expect(await readFile(await download.path(), 'utf8')).toBe(
      'subject,sprocket_production_actual,sprocket_production_goal\r\nline-1,61,62\r\nline-2,71,62\r\n',
    );
  });

  it('is built with the form, and copied as requests', async () => {
    const page = await open();
    await page.getByLabel('Compute').selectOption('Average');
    await page.getByRole('heading', { name: 'Choose a key' }).waitFor();
    await page.getByLabel('of', { exact: true }).selectOption('temperature');
    await page.getByLabel('by', { exact: true }).selectOption('room');
    await page.getByRole('heading', { name: 'Average of temperature by room' }).waitFor();
    await page.locator('td', { hasText: '14.3333' }).waitFor();
    await page.getByRole('button', { name: 'Copy as curl' }).click();
    const curl =
      `curl -s -H "X-Api-Key: $KEY" -G '${web.api.origin}/api/v1/objects/aggregate'` +
      ` --data-urlencode 'op=avg' --data-urlencode 'key=temperature' --data-urlencode 'by=data.room'`;
    await page.waitForFunction(async (text) => (await navigator.clipboard.readText()) === text, curl);
  });

  it('is filtered like the list of objects', async () => {
    const page = await open({ op: 'max', key: 'temperature', by: 'none' });
    await page.locator('.figures').getByText('99').waitFor();
    await page.getByRole('button', { name: 'Add condition' }).click();
    await page.getByLabel('Key', { exact: true }).fill('building');
    await page.getByRole('textbox', { name: 'Value' }).fill('HQ');
    await page.getByRole('button', { name: 'Add', exact: true }).click();
    await page.locator('.figures').getByText('22', { exact: true }).waitFor();
    expect(parameter(page, 'data')).toBe('{"building":"HQ"}');
    await page.getByRole('button', { name: 'Remove all' }).click();
    await page.locator('.figures').getByText('99').waitFor();
    expect(parameter(page, 'key')).toBe('temperature');
  });
});

it('leads to its objects, and they lead to a chart of the same filter', async () => {
  const page = await open({ op: 'max', key: 'temperature', by: 'none', data: '{"building":"HQ"}' });
  await page.getByRole('link', { name: 'Its objects' }).click();
  await page.getByText('6 objects').waitFor();
  await page.getByRole('button', { name: 'Remove: temperature exists' }).waitFor();
  await page.getByRole('link', { name: 'Chart', exact: true }).click();
  await page.getByRole('heading', { name: 'Count of objects over time' }).waitFor();
  await page.getByRole('button', { name: 'Remove: building is HQ' }).waitFor();
});

describe('an error', () => {
  it('of too many results says what to do', async () => {
    const page = await open({ by: 'data.n' });
    const alert = page.getByRole('alert');
    await alert.waitFor();
    expect(await alert.locator('li').innerText()).toContain('gives too many groups, more than 10,000; ');
  });

  it('of an unknown time zone is repaired with a button', async () => {
    const page = await open({ ...ROOMS, time_zone: 'IST' });
    await page.getByRole('alert').getByText('must be the name of a time zone').first().waitFor();
    await page.getByRole('button', { name: 'Use UTC' }).click();
    await page.getByText('time (UTC)').waitFor();
  });

  it('is not what a key without numbers is', async () => {
    const page = await open({ op: 'avg', key: 'version' });
    await page.getByRole('heading', { name: 'No values' }).waitFor();
  });
});

describe('follows the rules of WCAG AA', () => {
  it.each([
    ['over time', VERSIONS],
    ['by a value', FACTORIES],
  ])('%s', async (_, parameters) => {
    const page = await open(parameters);
    await numbers(page);
    expect(await violations(page, { looks: ALL_LOOKS })).toEqual([]);
  });

  it('with an error', async () => {
    const page = await open({ ...ROOMS, time_zone: 'IST' });
    await page.getByRole('button', { name: 'Use UTC' }).waitFor();
    expect(await violations(page)).toEqual([]);
  });
});
