import { afterAll, beforeAll, expect } from '@jest/globals';
import type { BrowserContextOptions, Page } from 'playwright-core';
import { TestApi, type TestProject } from '../harness/api.js';
import { TestBrowser, type TestPage } from './browser.js';

/** A browser, the shared server and a project, for the spec of one view. */
export class WebTest {
  api!: TestApi;
  project!: TestProject;
  private browser!: TestBrowser;
  private readonly opened: TestPage[] = [];

  async start(): Promise<void> {
    [this.api, this.browser] = await Promise.all([TestApi.shared(), TestBrowser.start()]);
    this.project = await this.api.project();
  }

  /** @param path after `/browse` @param api another server than the shared one */
  async open(path: string, key?: string, options: BrowserContextOptions = {}, api = this.api): Promise<Page> {
    const opened = await this.browser.open(api.origin, path, key, options);
    this.opened.push(opened);
    return opened.page;
  }

  /** Sends what a test needs. The response must be 2xx. */
  async send(
    method: 'POST' | 'PUT' | 'DELETE',
    path: string,
    body?: unknown,
    key = this.project.keys.admin,
  ): Promise<void> {
    const { status, text } = await this.api.call(method, path, { key, body });
    if (status >= 300) throw new Error(`${method} ${path}: ${String(status)} ${text}`);
  }

  /** The status of a GET request. */
  async statusOf(path: string, key = this.project.keys.admin): Promise<number> {
    return (await this.api.call('GET', path, { key })).status;
  }

  async stop(): Promise<void> {
    await this.browser.close();
    await this.api.stop();
    expect(this.opened.flatMap(({ errors }) => errors)).toEqual([]);
  }
}

/**
 * Starts a browser before the tests of a spec, and afterwards checks that no page had an error.
 * @param prepare stores what the tests read
 */
export function webTest(prepare: (web: WebTest) => Promise<unknown> = () => Promise.resolve()): WebTest {
  const web = new WebTest();
  beforeAll(async () => {
    await web.start();
    await prepare(web);
  });
  afterAll(() => web.stop());
  return web;
}
