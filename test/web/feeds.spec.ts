import { expect, it } from '@jest/globals';
import type { Page } from 'playwright-core';
import { violations } from './browser.js';
import { webTest, type WebTest } from './web-test.js';

/** One more than the page loads at once. */
const FACTORIES = 21;

const web: WebTest = webTest(async () => {
  const { deviceId, keys } = web.project;
  await Promise.all([
    web.send('POST', '/devices', { device_id: `silent-${deviceId}` }),
    ...['1.9.0', '1.10.0'].map((version, hour) =>
      web.send(
        'POST',
        `/firmware/${deviceId}`,
        { firmware: version, timestamp: `2024-12-10T0${String(hour)}:00:00Z`, status: 'updated' },
        keys.device,
      ),
    ),
    web.send('POST', '/factories', {
      factories: Array.from({ length: FACTORIES }, (_, index) => ({
        id: `line-${String(index)}`,
        factory: {
          chart_data: {
            sprocket_production_actual: [32, 28],
            sprocket_production_goal: [32, 30],
            time: [1_611_194_878, 1_611_194_818],
          },
        },
      })),
    }),
    ...['attic', 'a/b'].map((room, index) =>
      web.send('POST', `/buildings/HQ/rooms/${encodeURIComponent(room)}/temperatures`, [{ temperature: 20.5 + index }]),
    ),
    web.send('POST', '/buildings/Annex/rooms/hall/temperatures', [
      { temperature: 3, recorded_at: '2024-12-10T08:00:00Z' },
    ]),
    // Not of the feed.
    web.send('POST', '/batches', { batch_id: 'castles', objects: [{ data: { building: 'Castle' } }] }),
  ]);
});

const open = (query: string): Promise<Page> => web.open(`/feeds${query}`, web.project.keys.analyst);

/** The cells of the row that begins with a text. */
async function row(page: Page, name: string): Promise<string[]> {
  const cells = page.getByRole('row').filter({ hasText: name }).locator('th, td');
  return (await cells.allInnerTexts()).map((text) => text.trim());
}

it('shows devices with their newest firmware, and all reports of one', async () => {
  const page = await open('');
  await page.getByText('1.10.0').waitFor();
  expect(await row(page, '1.10.0')).toEqual([web.project.deviceId, '1.10.0', 'updated', '2024-12-10 01:00:00']);
  await page.getByText('no reports yet').waitFor();
  await page.getByRole('button', { name: web.project.deviceId, exact: true }).click();
  const panel = page.getByRole('complementary', { name: `Device ${web.project.deviceId}` });
  await panel.getByText('1.9.0').waitFor();
  await page.reload();
  await panel.getByText('1.9.0').waitFor();
  await panel.getByRole('link', { name: 'All its objects' }).click();
  await page.getByText('2 objects').waitFor();
});

it('shows factories with actual against goal, page by page', async () => {
  const page = await open('?feed=factories');
  const first = page.getByRole('listitem').filter({ has: page.getByRole('heading', { name: 'line-0', exact: true }) });
  await first.getByText('actual 60').waitFor();
  await first.getByText('97 % of the goal').waitFor();
  await first.getByRole('img', { name: /^Actual and goal of line-0 over time/ }).waitFor();
  await page.getByRole('button', { name: 'Load more' }).click();
  await page.getByRole('heading', { name: 'line-20' }).waitFor();
  expect(await page.getByRole('button', { name: 'Load more' }).count()).toBe(0);
});

it('shows the rooms of a building with newest reading, average, and a chart', async () => {
  const page = await open('?feed=rooms');
  const building = page.getByLabel('Building');
  await page.getByText('no readings').waitFor();
  expect(await building.locator('option').allInnerTexts()).toEqual(['Annex', 'HQ']);
  expect(await row(page, 'hall')).toEqual(['hall', '3', '2024-12-10 08:00:00', 'no readings']);
  await building.selectOption('HQ');
  await page.getByRole('row').filter({ hasText: 'a/b' }).getByText('21.5').nth(1).waitFor();
  await page.getByLabel('Average of the last').selectOption('week');
  await page.waitForURL((url) => url.searchParams.get('duration') === '1w');
  await page.reload();
  await page.getByRole('row').filter({ hasText: 'attic' }).getByText('20.5').nth(1).waitFor();
  await page.getByRole('link', { name: 'a/b' }).click();
  await page.getByRole('heading', { name: 'Average of temperature over time' }).waitFor();
  await page.locator('td', { hasText: '21.5' }).waitFor();
});

it.each(['', '?feed=factories', '?feed=rooms&building=HQ'])('follows the rules of WCAG AA: %s', async (query) => {
  const page = await open(query);
  await page
    .getByText(/1\.10\.0|actual 60|20\.5/)
    .first()
    .waitFor();
  expect(await violations(page)).toEqual([]);
});
