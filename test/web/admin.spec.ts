import { describe, expect, it } from '@jest/globals';
import type { Locator, Page } from 'playwright-core';
import { violations } from './browser.js';
import { webTest, type WebTest } from './web-test.js';

const SHOES = { batch_id: 'shoes', objects: Array.from({ length: 40 }, (_, size) => ({ data: { size } })) };

const web: WebTest = webTest(() => web.send('POST', '/batches', SHOES));

const open = (query: string, key = web.project.keys.admin): Promise<Page> => web.open(`/admin${query}`, key);

const row = (page: Page, name: string): Locator =>
  page.getByRole('row').filter({ has: page.getByRole('button', { name, exact: true }) });

const status = (key: string): Promise<number> => web.statusOf('/me', key);

/** Creates a key on the page, and returns it. */
async function createKey(page: Page, name: string, fill: (dialog: Locator) => Promise<unknown>): Promise<string> {
  await page.getByRole('button', { name: 'Create a key' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Name').fill(name);
  await fill(dialog);
  await dialog.getByRole('button', { name: 'Create', exact: true }).click();
  const secret = await dialog.locator('.secret').innerText();
  await page.keyboard.press('Escape');
  await dialog.getByRole('button', { name: 'Copy the key' }).click();
  await page.waitForFunction(async (text) => (await navigator.clipboard.readText()) === text, secret);
  await dialog.getByRole('button', { name: 'Done' }).click();
  await row(page, name).waitFor();
  return secret;
}

describe('a key', () => {
  it('is created with a role and an expiry, and shown once', async () => {
    const page = await open('');
    const secret = await createKey(page, 'loader', async (dialog) => {
      await dialog.getByLabel('Role').selectOption('producer');
      await dialog.getByLabel('Expires at').fill('2099-01-01');
    });
    const reply = await web.api.call('GET', '/me', { key: secret });
    expect(reply.json()).toMatchObject({ name: 'loader', role: 'producer', expires_at: '2099-01-01T00:00:00.000Z' });
    expect(await row(page, 'loader').innerText()).toMatch(/producer.*active.*never.*2099-01-01 00:00:00/s);
    expect(await page.content()).not.toContain(secret);
  });

  it('of a device needs its id; an unknown one is an error of the form', async () => {
    const page = await open('');
    await page.getByRole('button', { name: 'Create a key' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Name').fill('second key');
    await dialog.getByLabel('Role').selectOption('device');
    await dialog.getByLabel('Device id').fill('unknown');
    await dialog.getByRole('button', { name: 'Create', exact: true }).click();
    await dialog.getByRole('alert').waitFor();
    await dialog.getByLabel('Device id').fill(web.project.deviceId);
    await dialog.getByRole('button', { name: 'Create', exact: true }).click();
    expect(await status(await dialog.locator('.secret').innerText())).toBe(200);
  });

  it('is renamed, rotated with an overlap, and revoked after its name was typed', async () => {
    const page = await open('');
    const first = await createKey(page, 'sensor', (dialog) => dialog.getByLabel('Role').selectOption('producer'));
    await row(page, 'sensor').getByRole('button').click();
    const panel = page.getByRole('complementary', { name: 'Key' });
    await panel.getByLabel('Name').fill('sensor in Porto');
    await panel.getByRole('button', { name: 'Save' }).click();
    await row(page, 'sensor in Porto').waitFor();

    await panel.getByRole('button', { name: 'Rotate' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('The old key still works for').selectOption('an hour');
    await dialog.getByRole('button', { name: 'Rotate' }).click();
    const second = await dialog.locator('.secret').innerText();
    await dialog.getByRole('button', { name: 'Done' }).click();
    expect([await status(first), await status(second)]).toEqual([200, 200]);

    await panel.getByRole('button', { name: 'Revoke' }).click();
    const confirm = dialog.getByRole('button', { name: 'Revoke', exact: true });
    expect(await confirm.isDisabled()).toBe(true);
    await dialog.getByLabel('Type the name').fill('sensor in Porto');
    await confirm.click();
    await panel.getByRole('cell', { name: 'revoked', exact: true }).waitFor();
    expect([await status(first), await status(second)]).toEqual([401, 200]);
  });
});

it('creates a device with its first key', async () => {
  const page = await open('?tab=devices');
  const id = `gate-${String(web.project.projectId)}`;
  await page.getByRole('button', { name: 'Create a device' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Id of the device').fill(id);
  await dialog.getByRole('button', { name: 'Create', exact: true }).click();
  const reply = await web.api.call('GET', '/me', { key: await dialog.locator('.secret').innerText() });
  expect(reply.json()).toMatchObject({ role: 'device', device_id: id });
  await dialog.getByRole('button', { name: 'Done' }).click();
  await page.getByRole('link', { name: id }).waitFor();
});

describe('a webhook', () => {
  /** No such name exists, so that nothing is sent. */
  const URL_NOWHERE = 'http://receiver.invalid/hook';

  it('is created with a threshold, and its secret is shown once', async () => {
    const page = await open('?tab=webhooks');
    await page.getByRole('heading', { name: 'This project has no webhooks yet' }).waitFor();
    await page.getByRole('button', { name: 'Create a webhook' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Name').fill('cold store');
    await dialog.getByLabel('URL').fill(URL_NOWHERE);
    await dialog.getByLabel('a value reached a threshold').check();
    await dialog.getByLabel('Key whose').fill('temperature');
    await dialog.getByLabel('Of objects').fill('7m');
    await dialog.getByRole('spinbutton', { name: 'Number' }).fill('8.5');
    await dialog.getByRole('button', { name: 'Create', exact: true }).click();
    await dialog.getByText('/threshold/bucket', { exact: true }).waitFor();
    expect(await violations(page, { within: 'dialog' })).toEqual([]);
    await dialog.getByLabel('Of objects').fill('15m');
    await dialog.getByRole('button', { name: 'Create', exact: true }).click();
    expect(await dialog.locator('.secret').innerText()).toMatch(/^whsec_/);
    await dialog.getByRole('button', { name: 'Done' }).click();
    await row(page, 'cold store').waitFor();
    const list = await web.api.call('GET', '/webhooks', { key: web.project.keys.admin });
    const threshold = { op: 'avg', key: 'temperature', bucket: '15m', compare: { $gt: 8.5 } };
    expect(list.json()).toMatchObject({ results: [{ events: ['batch.stored', 'threshold.reached'], threshold }] });
  });

  it('shows its deliveries; a failed one is retried, and the webhook is disabled and deleted', async () => {
    const body = { name: 'stock', url: URL_NOWHERE, events: ['job.failed'] };
    const created = await web.api.call('POST', '/webhooks', { key: web.project.keys.admin, body });
    const { webhook_id: id } = created.json<{ webhook_id: string }>();
    await web.api.db.sql(
      `INSERT INTO webhook_deliveries
         (project_id, webhook_id, delivery_id, event, body, status, attempts, due_at, response_status, finished_at)
       VALUES ($1, $2, 7, 'job.failed', '{}', 'failed', 10, now(), 500, now())`,
      [web.project.projectId, id],
    );
    const page = await open('?tab=webhooks');
    await row(page, 'stock').getByRole('button').click();
    const panel = page.getByRole('complementary', { name: 'Webhook' });
    await panel.getByText('HTTP status 500, 10 attempts').waitFor();
    expect(await violations(page)).toEqual([]);
    await panel.getByRole('button', { name: 'Disable' }).click();
    await panel.getByRole('button', { name: 'Enable' }).waitFor();
    await row(page, 'stock').getByText('disabled').waitFor();
    await panel.getByRole('button', { name: 'Retry' }).click();
    // In the table: a filter has the same name.
    await panel.getByRole('table').getByText('queued', { exact: true }).waitFor();
    await web.api.db.sql(`UPDATE webhook_deliveries SET status = 'failed' WHERE webhook_id = $1`, [id]);
    await panel.getByRole('button', { name: 'failed', exact: true }).click();
    await panel.getByRole('button', { name: 'Retry all' }).click();
    await panel.getByText('No delivery is failed.').waitFor();
    const deliveries = await web.api.call('GET', `/webhooks/${id}/deliveries`, { key: web.project.keys.admin });
    expect(deliveries.json()).toMatchObject({ results: [{ status: 'queued', attempts: 0, due_at: null }] });

    await panel.getByRole('button', { name: 'Delete' }).click();
    const dialog = page.getByRole('dialog');
    const confirm = dialog.getByRole('button', { name: 'Delete', exact: true });
    expect(await confirm.isDisabled()).toBe(true);
    expect(await violations(page, { within: 'dialog' })).toEqual([]);
    await dialog.getByLabel('Type the name').fill('stock');
    await confirm.click();
    await row(page, 'stock').waitFor({ state: 'detached' });
    expect(await web.statusOf(`/webhooks/${id}`)).toBe(404);
  });
});

it('restores a deleted batch and a deleted object', async () => {
  await web.send('POST', '/batches', { batch_id: 'boots', objects: [{ object_id: 'boot-1', data: {} }] });
  await web.send('POST', '/objects', { batch_id: 'shoes', object_id: 'shoe-41', data: {} });
  await web.send('DELETE', '/batches/boots?cascade=true');
  await web.send('DELETE', '/objects/shoe-41');
  const page = await open('?tab=deletions');
  await page.getByText('2 deletions').waitFor();
  expect(await violations(page)).toEqual([]);
  await page.getByRole('button', { name: 'Restore batch boots' }).click();
  await page.getByRole('link', { name: 'batch boots' }).waitFor();
  await page.getByRole('button', { name: 'Restore object shoe-41' }).click();
  await page.getByRole('heading', { name: 'Nothing can be restored' }).waitFor();
  expect([await web.statusOf('/objects/boot-1'), await web.statusOf('/objects/shoe-41')]).toEqual([200, 200]);
});

describe('the audit trail', () => {
  it('is filtered by what the URL says', async () => {
    const page = await open('?tab=audit');
    await page.getByRole('cell', { name: 'key.create' }).first().waitFor();
    await page.getByLabel('Action').selectOption('device.create');
    await page.getByRole('cell', { name: `device ${web.project.deviceId}` }).waitFor();
    await page.getByLabel('Id of the target').fill(web.project.deviceId);
    await page.keyboard.press('Enter');
    await page.getByText('1 entry').waitFor();
    await page.reload();
    await page.getByText('1 entry').waitFor();
    await page.getByLabel('Before').fill('2000-01-01');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'No entries match' }).waitFor();
    await page.getByRole('button', { name: 'Remove the filter' }).click();
    await page.getByRole('cell', { name: 'key.create' }).first().waitFor();
  });

  it('can be filtered by each action and each type of target', async () => {
    const page = await open('?tab=audit');
    const { paths } = (await web.api.call('GET', `${web.api.origin}/openapi.json`, {})).json<{
      paths: Record<string, { get: { parameters: { name: string; schema: { enum?: string[] } }[] } }>;
    }>();
    const choices = (name: string): string[] | undefined =>
      paths['/api/v1/audit']?.get.parameters.find((parameter) => parameter.name === name)?.schema.enum;
    const options = (label: string): Promise<string[]> => page.getByLabel(label).locator('option').allInnerTexts();
    expect((await options('Action')).slice(1)).toEqual(choices('action'));
    expect((await options('Target')).slice(1)).toEqual(choices('target_type'));
  });
});

describe('the operator', () => {
  it('creates a project and sets its limits and retention, which its admin sees with what is used', async () => {
    const page = await open('', web.api.operatorKey);
    const name = `acme ${String(web.project.projectId)}`;
    await page.getByRole('button', { name: 'Create a project' }).click();
    await page.getByRole('dialog').getByLabel('Name').fill(name);
    await page.getByRole('dialog').getByRole('button', { name: 'Create', exact: true }).click();
    await page.getByRole('link', { name, exact: true }).click();
    await page.getByText('No keys').waitFor();
    const secret = await createKey(page, 'first admin', (dialog) => dialog.getByLabel('Role').selectOption('admin'));
    await page.getByRole('link', { name: 'Limits' }).click();
    await page.getByLabel('Most objects').fill('50');
    await page.getByLabel('Days').fill('365');
    await page.getByLabel('Encrypted keys').fill('name\ne-mail');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByText('Saved.').waitFor();
    const { results } = (await web.api.call('GET', '/projects', { key: web.api.operatorKey })).json<{
      results: object[];
    }>();
    expect(results).toContainEqual(expect.objectContaining({ name, encrypted_keys: ['name', 'e-mail'] }));
    await page.getByRole('link', { name: 'Audit trail' }).click();
    await page.getByRole('cell', { name: 'key.create' }).waitFor();

    await web.send('POST', '/batches', SHOES, secret);
    const admin = await open('?tab=usage', secret);
    await admin.getByText('40 of 50 (80 %)').waitFor();
    expect(await admin.getByRole('meter', { name: 'Objects' }).getAttribute('aria-valuenow')).toBe('80');
    await admin.getByText('without a limit').waitFor();
    await admin.getByText('Objects are deleted 365 days after they were observed').waitFor();
  });

  it('can send a form again that was rejected', async () => {
    const name = `taken ${String(web.project.projectId)}`;
    const taken = await web.api.call('POST', '/projects', { key: web.api.operatorKey, body: { name } });
    const page = await open('', web.api.operatorKey);
    await page.getByRole('button', { name: 'Create a project' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Name').fill(name);
    await dialog.getByRole('button', { name: 'Create', exact: true }).click();
    await dialog.getByRole('alert').waitFor();
    const path = `/projects/${String(taken.json<{ project_id: number }>().project_id)}`;
    expect((await web.api.call('DELETE', path, { key: web.api.operatorKey })).status).toBeLessThan(300);
    await dialog.getByRole('button', { name: 'Create', exact: true }).click();
    await dialog.waitFor({ state: 'detached' });
    expect((await web.api.call('GET', path, { key: web.api.operatorKey })).status).toBe(404);
    await page.getByRole('link', { name, exact: true }).waitFor();
  });

  it('begins with the projects', async () => {
    const page = await web.open('', web.api.operatorKey);
    await page.waitForURL('**/browse/admin');
    await page.getByRole('button', { name: 'Create a project' }).waitFor();
  });

  it('sees the operator keys', async () => {
    const page = await open('?tab=operator-keys', web.api.operatorKey);
    await page.getByText('(this key)').waitFor();
    expect(await page.getByRole('button', { name: 'Create a key' }).count()).toBe(0);
  });
});

it('is not for analysts', async () => {
  const page = await open('', web.project.keys.analyst);
  await page.getByRole('link', { name: 'Go to Objects' }).waitFor();
  expect(await page.getByRole('link', { name: 'Admin' }).count()).toBe(0);
  expect(await page.getByRole('button', { name: 'Create a key' }).count()).toBe(0);
});

describe('follows the rules of WCAG AA', () => {
  it.each(['', '?tab=devices', '?tab=usage', '?tab=audit'])('for an admin: %s', async (query) => {
    const page = await open(query);
    await page.locator('.list tbody, .usage').first().waitFor();
    expect(await violations(page)).toEqual([]);
  });

  it.each(['', '?tab=operator-keys', '?tab=audit', 'keys', 'limits', 'audit'])('for an operator: %s', async (tab) => {
    const ofProject = `?project_id=${String(web.project.projectId)}&tab=${tab}`;
    const page = await open(/^\w/.test(tab) ? ofProject : tab, web.api.operatorKey);
    await page.locator('.list tbody, .form').first().waitFor();
    expect(await violations(page)).toEqual([]);
  });

  it('in its dialogs', async () => {
    const page = await open('');
    await page.getByRole('button', { name: 'Create a key' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Name').fill('axe');
    await dialog.getByLabel('Role').selectOption('device');
    await dialog.getByLabel('Device id').fill('unknown');
    await dialog.getByRole('button', { name: 'Create', exact: true }).click();
    await dialog.getByRole('alert').waitFor();
    expect(await violations(page, { within: 'dialog' })).toEqual([]);
    await dialog.getByLabel('Role').selectOption('analyst');
    await dialog.getByRole('button', { name: 'Create', exact: true }).click();
    await dialog.locator('.secret').waitFor();
    expect(await violations(page, { within: 'dialog' })).toEqual([]);
    await dialog.getByRole('button', { name: 'Done' }).click();
    await row(page, 'axe').getByRole('button').click();
    const panel = page.getByRole('complementary', { name: 'Key' });
    for (const name of ['Rotate', 'Revoke']) {
      await panel.getByRole('button', { name }).click();
      await dialog.getByRole('button', { name, exact: true }).waitFor();
      expect(await violations(page, { within: 'dialog' })).toEqual([]);
      await page.keyboard.press('Escape');
    }
  });

  it('in the dialog that creates a project, with an error', async () => {
    const name = `twice ${String(web.project.projectId)}`;
    await web.send('POST', '/projects', { name }, web.api.operatorKey);
    const page = await open('', web.api.operatorKey);
    await page.getByRole('button', { name: 'Create a project' }).click();
    await page.getByRole('dialog').getByLabel('Name').fill(name);
    await page.getByRole('dialog').getByRole('button', { name: 'Create', exact: true }).click();
    await page.getByRole('dialog').getByRole('alert').waitFor();
    expect(await violations(page, { within: 'dialog' })).toEqual([]);
  });
});
