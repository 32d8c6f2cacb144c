import { gzipSync } from 'node:zlib';
import { readdir, readFile } from 'node:fs/promises';
import { chromium } from 'playwright-core';
import { loadObjects } from './questions.mjs';
import { percentile } from './stack.mjs';

const ROUNDS = 10;
const ROWS = 10_000;
const ASSETS = 'dist/web/assets';

/** The browser page over BENCH_OBJECTS objects: its first view, its size, what it moves, and how smoothly it scrolls. */
export async function benchBrowse(stack) {
  await loadObjects(stack);
  for (const file of await readdir(ASSETS)) {
    const size = gzipSync(await readFile(`${ASSETS}/${file}`)).length;
    console.log(`${file.replace(/-.*\./, '.')}: ${(size / 1000).toFixed(1)} kB with gzip`);
  }
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });
  try {
    const views = [];
    for (let round = 0; round < ROUNDS; round++) views.push(await firstView(browser, stack));
    for (const name of Object.keys(views[0])) {
      const sorted = views.map((view) => view[name]).sort((a, b) => a - b);
      console.log(`${name}: p50 ${percentile(sorted, 0.5).toFixed(3)}, max ${sorted.at(-1).toFixed(3)}`);
    }
    const { frames, late, longest } = await scroll(browser, stack);
    console.log(
      `scrolling through ${ROWS} rows: ${frames} frames, ${late} later than 34 ms, the longest ${longest.toFixed(0)} ms`,
    );
  } finally {
    await browser.close();
  }
}

async function openPage(browser, { url, adminKey }) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
  const page = await context.newPage();
  await page.addInitScript((key) => globalThis.sessionStorage.setItem('stowage.key', key), adminKey);
  await page.addInitScript(() => {
    globalThis.layoutShift = 0;
    new globalThis.PerformanceObserver((list) => {
      for (const { value } of list.getEntries()) globalThis.layoutShift += value;
    }).observe({ type: 'layout-shift', buffered: true });
  });
  const start = performance.now();
  await page.goto(`${new URL(url).origin}/browse/objects`);
  return { page, context, start };
}

/** The times in ms with an empty cache, from the address until the rows, and until the values and the chart, are there. */
async function firstView(browser, stack) {
  const { page, context, start } = await openPage(browser, stack);
  await page.locator('tbody tr td').first().waitFor();
  const rows = performance.now() - start;
  await page.locator('.facet-value').first().waitFor();
  await page.locator('.histogram canvas').waitFor();
  await page.waitForLoadState('networkidle');
  const everything = performance.now() - start;
  const shift = await page.evaluate('layoutShift');
  await context.close();
  return {
    'rows after ms': rows,
    'everything, and no request for 500 ms, after ms': everything,
    'layout shift': shift,
  };
}

/** Scrolls down 400 pixels a frame until so many rows have passed. */
async function scroll(browser, stack) {
  const { page, context } = await openPage(browser, stack);
  await page.locator('tbody tr td').first().waitFor();
  await page.waitForLoadState('networkidle');
  const times = await page.locator('.table-scroller').evaluate(
    (element, rows) =>
      new Promise((resolve) => {
        const times = [];
        let last = globalThis.performance.now();
        const step = (now) => {
          times.push(now - last);
          last = now;
          element.scrollTop += 400;
          if (element.scrollTop / 32 < rows - 100) globalThis.requestAnimationFrame(step);
          else resolve(times);
        };
        globalThis.requestAnimationFrame(step);
      }),
    ROWS,
  );
  await context.close();
  return { frames: times.length, late: times.filter((ms) => ms > 34).length, longest: Math.max(...times) };
}
