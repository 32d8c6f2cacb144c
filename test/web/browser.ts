import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { chromium, type Browser, type BrowserContextOptions, type Page } from 'playwright-core';

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
/** The rules of WCAG 2 at the levels A and AA. */
const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa'];
const MISSING = 'chromium is not installed; install it with `apt-get install chromium`';

/** Adds up how far the page has moved what it shows (Cumulative Layout Shift), as `layoutShift`. */
const OBSERVE_SHIFTS = `
  globalThis.layoutShift = 0;
  new PerformanceObserver((list) => {
    for (const { value } of list.getEntries()) globalThis.layoutShift += value;
  }).observe({ type: 'layout-shift', buffered: true });
`;

/** A page of the browser, with what went wrong on it. */
export interface TestPage {
  page: Page;
  /** Errors of scripts, of the Content-Security-Policy and of failed requests to other hosts. */
  errors: string[];
}

/** Debian's Chromium. */
export class TestBrowser {
  private constructor(private readonly browser: Browser) {}

  /** @throws Error where Chromium is not installed */
  static async start(): Promise<TestBrowser> {
    // Root may not use the sandbox.
    const options = { executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] };
    const browser = await chromium.launch(options).catch((cause: unknown) => {
      throw new Error(/ENOENT|doesn't exist/.test(String(cause)) ? MISSING : 'chromium did not start', { cause });
    });
    return new TestBrowser(browser);
  }

  /**
   * Opens the browser page in a new context.
   * @param path after `/browse`
   * @param key the key of the session; undefined for a session without one
   */
  async open(origin: string, path: string, key?: string, options: BrowserContextOptions = {}): Promise<TestPage> {
    const context = await this.browser.newContext({ permissions: ['clipboard-read', 'clipboard-write'], ...options });
    const page = await context.newPage();
    const errors: string[] = [];
    page.on('pageerror', ({ message }) => errors.push(message));
    page.on('console', (message) => {
      // The browser reports each response with an error status; the tests check what the page shows for it.
      if (message.type() === 'error' && !message.text().startsWith('Failed to load resource'))
        errors.push(message.text());
    });
    page.on('request', (request) => {
      if (!/^(blob|data):/.test(request.url()) && new URL(request.url()).origin !== origin) errors.push(request.url());
    });
    if (key !== undefined)
      await page.addInitScript((text) => {
        sessionStorage.setItem('stowage.key', text);
      }, key);
    await page.addInitScript({ content: OBSERVE_SHIFTS });
    await page.goto(`${origin}/browse${path}`);
    return { page, errors };
  }

  async close(): Promise<void> {
    await this.browser.close();
  }
}

/** A theme and a width in pixels. */
type Look = readonly ['light' | 'dark', number];

/** Each theme and each width once. */
const LOOKS: readonly Look[] = [
  ['light', 1280],
  ['dark', 390],
];
/** For views with colours or a layout of their own. */
export const ALL_LOOKS: readonly Look[] = [...LOOKS, ['dark', 1280], ['light', 390]];

/**
 * What keeps people from using a page: violations of WCAG AA, each with its element, and content that is wider than the page.
 * @param within the part of the page that the rules are checked for
 */
export async function violations(page: Page, { looks = LOOKS, within = 'html' } = {}): Promise<string[]> {
  const found: string[] = [];
  for (const [colorScheme, width] of looks) {
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize({ width, height: 844 });
    const own = [...(await axeViolations(page, within)), ...(await overflow(page, width))];
    found.push(...own.map((text) => `${colorScheme}, ${String(width)}: ${text}`));
  }
  return found;
}

async function axeViolations(page: Page, within: string): Promise<string[]> {
  // Not as a script element, which the Content-Security-Policy of the page forbids.
  if (!(await page.evaluate(() => 'axe' in globalThis))) await page.evaluate(await readFile(AXE, 'utf8'));
  return page.evaluate(
    async ([rules, context]) => {
      const { axe } = globalThis as unknown as {
        axe: {
          run: (
            context: string,
            options: object,
          ) => Promise<{ violations: { id: string; nodes: { html: string }[] }[] }>;
        };
      };
      const result = await axe.run(context, { runOnly: rules });
      return result.violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`));
    },
    [RULES, within] as const,
  );
}

async function overflow(page: Page, width: number): Promise<string[]> {
  const { scrollWidth } = await page.evaluate(() => ({ scrollWidth: document.documentElement.scrollWidth }));
  return scrollWidth > width ? [`the page is ${String(scrollWidth)} pixels wide`] : [];
}

/** Scrolls an endless list until its last row begins with a text, at most 30 seconds. */
export async function scrollToRow(page: Page, scroller: string, text: string): Promise<void> {
  await page.waitForFunction(
    ([selector, last]) => {
      const element = document.querySelector(selector);
      if (element !== null) element.scrollTop = element.scrollHeight;
      const cells = Array.from(document.querySelectorAll('tbody tr td:first-child'));
      return cells.at(-1)?.textContent === last;
    },
    [scroller, text] as const,
    { timeout: 30_000 },
  );
}
