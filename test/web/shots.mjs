/**
 * Takes a picture of each view of the browser page in light, dark and at the width of a phone, for people to look at:
 * `npm run shots`, into the folder `shots`. The server has the fixtures.
 */
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';

const FOLDER = 'shots';
const ADMIN_KEY = 'shots-admin-key-of-more-than-32-characters';
const OPERATOR_KEY = 'shots-operator-key-of-more-than-32-characters';
const FILTER = encodeURIComponent('{"type":"boot","price":{"$gte":100}}');
const VERSIONS = encodeURIComponent('{"version":{"$exists":true}}');

/** The views by name: the path after `/browse`, and the key. */
const VIEWS = {
  key: ['', null],
  objects: ['/objects', ADMIN_KEY],
  'objects-filtered': [`/objects?data=${FILTER}&sort=-data.price`, ADMIN_KEY],
  'objects-error': ['/objects?data={', ADMIN_KEY],
  'objects-empty': ['/objects?subject=nobody', ADMIN_KEY],
  object: ['/objects?object=return-0219', ADMIN_KEY],
  batches: ['/batches', ADMIN_KEY],
  batch: ['/batches?batch=2024-06-14-returns-with-reasons', ADMIN_KEY],
  upload: ['/batches?view=upload', ADMIN_KEY],
  'chart-rooms': ['/charts?op=avg&key=temperature&bucket=1h&series=data.room', ADMIN_KEY],
  'chart-factories': [
    '/charts?op=sum&key=sprocket_production_actual&second_key=sprocket_production_goal&by=subject',
    ADMIN_KEY,
  ],
  'chart-versions': [`/charts?series=data.version&chart=bars&data=${VERSIONS}`, ADMIN_KEY],
  'chart-values': ['/charts?op=sum&key=price&by=data.type', ADMIN_KEY],
  'chart-error': ['/charts?time_zone=IST', ADMIN_KEY],
  devices: ['/feeds', ADMIN_KEY],
  factories: ['/feeds?feed=factories', ADMIN_KEY],
  rooms: ['/feeds?feed=rooms', ADMIN_KEY],
  jobs: ['/jobs', ADMIN_KEY],
  keys: ['/admin', ADMIN_KEY],
  webhooks: ['/admin?tab=webhooks', ADMIN_KEY],
  webhook: ['/admin?tab=webhooks&webhook=WEBHOOK', ADMIN_KEY],
  deletions: ['/admin?tab=deletions', ADMIN_KEY],
  usage: ['/admin?tab=usage', ADMIN_KEY],
  audit: ['/admin?tab=audit', ADMIN_KEY],
  projects: ['/admin', OPERATOR_KEY],
  limits: ['/admin?tab=limits&project_id=PROJECT', OPERATOR_KEY],
};

const LOOKS = {
  light: { colorScheme: 'light', viewport: { width: 1280, height: 800 } },
  dark: { colorScheme: 'dark', viewport: { width: 1280, height: 800 } },
  phone: { colorScheme: 'light', viewport: { width: 390, height: 844 }, isMobile: true },
};

const dataDir = await mkdtemp(join(tmpdir(), 'stowage-shots-'));
const server = spawn(process.execPath, ['dist/apps/api/main.js'], {
  env: {
    ...process.env,
    PORT: '0',
    STOWAGE_DATA_DIR: join(dataDir, 'data'),
    STOWAGE_ADMIN_KEY: ADMIN_KEY,
    STOWAGE_OPERATOR_KEY: OPERATOR_KEY,
  },
  stdio: ['ignore', 'pipe', 'inherit'],
});
const ended = new Promise((resolve) => server.once('exit', resolve));
try {
  const origin = await readyOrigin();
  const ids = await storeExamples(`${origin}/api/v1`);
  await mkdir(FOLDER, { recursive: true });
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });
  for (const [look, options] of Object.entries(LOOKS)) {
    for (const [view, [path, key]] of Object.entries(VIEWS)) {
      const context = await browser.newContext(options);
      const page = await context.newPage();
      if (key !== null) await page.addInitScript((text) => globalThis.sessionStorage.setItem('stowage.key', text), key);
      await page.goto(`${origin}/browse${path.replace(/[A-Z]{3,}$/, (name) => ids[name] ?? name)}`, {
        waitUntil: 'networkidle',
      });
      await page.screenshot({ path: join(FOLDER, `${view}-${look}.png`) });
      await context.close();
    }
  }
  await browser.close();
  console.log(`${Object.keys(VIEWS).length * Object.keys(LOOKS).length} pictures in ${FOLDER}/`);
} finally {
  server.kill('SIGTERM');
  await ended;
  await rm(dataDir, { recursive: true, force: true });
}

/** What the fixtures do not have. @returns ids for the paths */
async function storeExamples(api) {
  const send = async (method, path, body, key = ADMIN_KEY) => {
    const headers = { 'X-Api-Key': key, ...(body === undefined ? {} : { 'Content-Type': 'application/json' }) };
    const response = await fetch(`${api}${path}`, { method, headers, body: JSON.stringify(body) });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return response.status === 204 ? undefined : response.json();
  };
  const url = 'https://hooks.example.com/stowage';
  await send('POST', '/webhooks', { name: 'failures', url, events: ['job.failed', 'key.canary'], is_enabled: false });
  const threshold = { op: 'avg', key: 'temperature', bucket: '15m', compare: { $gt: 8 } };
  const events = ['batch.stored', 'threshold.reached'];
  const webhook = await send('POST', '/webhooks', {
    name: 'cold store',
    url: 'https://hooks.example.com/cold',
    events,
    threshold,
  });
  for (let count = 0; count < 3; count++) await send('POST', `/webhooks/${webhook.webhook_id}/test`);
  await send('POST', '/batches', { batch_id: 'mistake', objects: [{ object_id: 'wrong-1', data: {} }] });
  await send('DELETE', '/batches/mistake?cascade=true');
  const { project } = await send('GET', '/me');
  return { WEBHOOK: webhook.webhook_id, PROJECT: String(project.project_id) };
}

function readyOrigin() {
  return new Promise((resolve, reject) => {
    server.once('exit', (code) => reject(new Error(`the server exited with code ${code}`)));
    createInterface(server.stdout).on('line', (line) => {
      const url = /Stowage is ready: (\S+)/.exec(line)?.[1];
      if (url !== undefined) resolve(new URL(url).origin);
    });
  });
}
