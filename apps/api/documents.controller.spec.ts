import { expect, it } from '@jest/globals';
import { DocumentsController } from './documents.controller.js';

it('renders the page of problems once', async () => {
  const documents = new DocumentsController();
  const page = documents.problems();
  expect(documents.problems()).toBe(page);
  expect(await page).toContain('id="not-found"');
});
