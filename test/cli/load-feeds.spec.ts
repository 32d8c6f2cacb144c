import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApi } from '../harness/api.js';
import { Stowage, type Ended } from './stowage.js';

let api: TestApi;
let stowage: Stowage;
let origin: string;
let adminKey: string;

beforeAll(async () => {
  api = await TestApi.shared();
  ({ origin } = api);
  adminKey = (await api.project()).keys.admin;
  stowage = await Stowage.create({ STOWAGE_API_KEY: adminKey });
});
afterAll(async () => {
  await stowage.remove();
  await api.stop();
});

const load = (...args: string[]): Promise<Ended> => stowage.run(['load', ...args], { STOWAGE_URL: origin });

/** Writes files into a new folder in the working directory of the command. */
async function folderOf(name: string, contents: Record<string, string | Buffer>): Promise<string> {
  await mkdir(join(stowage.folder, name));
  for (const [file, content] of Object.entries(contents)) await writeFile(join(stowage.folder, name, file), content);
  return name;
}

async function get(path: string): Promise<Record<string, { id?: string }[]>> {
  const response = await fetch(`${origin}/api/v1/${path}`, { headers: { 'X-Api-Key': adminKey } });
  return (await response.json()) as never;
}

const factory = (actual: number, time: unknown = [1611194818, 1611194878]): object => ({
  factory: {
    chart_data: { sprocket_production_actual: [actual, actual], sprocket_production_goal: [30, 30], time },
  },
});
const sprocket = (teeth: number): object => ({ teeth, pitch_diameter: 5, outside_diameter: 6, pitch: 1 });

describe('stowage load', () => {
  it('loads files of factories and sprockets, and stores nothing in a second run', async () => {
    const factories = { factories: [factory(3), factory(1), factory(1)] };
    const folder = await folderOf('feeds', {
      'factories.json': JSON.stringify(factories, null, 2),
      'sprockets.json.gz': gzipSync(JSON.stringify({ sprockets: [sprocket(5), sprocket(5)] })),
      'batch.json': JSON.stringify({ batch_id: 'neighbor', objects: [{ object_id: 'neighbor-1', data: { n: 1 } }] }),
    });
    const first = await load(folder);
    expect(first).toMatchObject({ code: 0, stderr: '' });
    expect(first.stdout).toMatch(/^feeds\/factories\.json: stored 3 objects$/m);
    expect(first.stdout).toMatch(/^feeds\/sprockets\.json\.gz: stored 2 objects$/m);
    expect(first.stdout).toMatch(/^stored 6 objects in 3 batches \(.* s, .* objects\/s\)\n$/m);
    const stored = (await get('factories')).factories?.map(({ id: _, ...one }) => one);
    expect({ factories: stored }).toEqual(factories);

    const again = await load(folder, '--async');
    expect(again).toMatchObject({ code: 0, stderr: '' });
    expect(again.stdout).toMatch(/^feeds\/factories\.json: already stored \(3 objects\)$/m);
    expect(again.stdout).toMatch(/^feeds\/sprockets\.json\.gz: already stored \(2 objects\)$/m);
    expect(again.stdout).toMatch(/^stored 0 objects in 0 batches \(.*\); 3 batches already stored\n$/m);
    expect((await get('sprockets')).results).toHaveLength(2);
  });

  it('stores them as jobs with --async, and counts new and existing objects', async () => {
    const known = { id: 'known', ...sprocket(7) };
    const headers = { 'X-Api-Key': adminKey, 'Content-Type': 'application/json' };
    await fetch(`${origin}/api/v1/sprockets`, { method: 'POST', headers, body: JSON.stringify(known) });
    const folder = await folderOf('async', { 'some.json': JSON.stringify({ sprockets: [known, sprocket(8)] }) });
    const { code, stdout } = await load(`${folder}/some.json`, '--async');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^async\/some\.json: stored 1 object, 1 object already stored$/m);
    expect((await get('jobs')).results?.[0]).toMatchObject({ status: 'succeeded', result_status: 201 });
  });

  it('names the file and the location of every error, continues with the other files, and exits with 1', async () => {
    const folder = await folderOf('errors', {
      'a.json': JSON.stringify({ factories: [factory(1), factory(2, ['nan', 2]), factory(3, [1])] }),
      'b.json': '{"sprockets": [{"teeth": 5, ',
      'c.json': JSON.stringify({ sprockets: [], batch_id: 'c' }),
      'd.json': JSON.stringify({ sprockets: [sprocket(12)] }),
      'e.json': JSON.stringify({ remark: 'not a batch', sprockets: [] }),
    });
    const { code, stdout, stderr } = await load(folder);
    expect(code).toBe(1);
    const times = 'must be a whole number from 0 to 253402300799';
    expect(stderr.trimEnd().split('\n').sort()).toEqual([
      `errors/a.json: /factories/1/factory/chart_data/time/0: ${times}`,
      'errors/a.json: /factories/2/factory/chart_data/time: must have 2 points, as sprocket_production_actual has',
      'errors/b.json: Malformed request: The body is not valid JSON at line 1, column 29.',
      'errors/c.json: /batch_id: is not a member of this body; the only member of a file is sprockets',
    ]);
    expect(stdout).toMatch(/^errors\/d\.json: stored 1 object$/m);
    expect(stdout).toMatch(/^errors\/e\.json: skipped, not a batch$/m);
    const rejects = (await readFile(join(stowage.folder, 'rejects.ndjson'), 'utf8')).trimEnd().split('\n');
    const pointer = '/factories/1/factory/chart_data/time/0';
    expect(rejects.map((line) => JSON.parse(line) as object)).toContainEqual({
      file: 'errors/a.json',
      batch_id: 'factories',
      pointer,
      detail: times,
    });
  });

  it('rejects options that only batches support', async () => {
    const folder = await folderOf('flags', { 'a.json': JSON.stringify({ sprockets: [sprocket(90)] }) });
    const [flags, named] = await Promise.all([
      load(folder, '--dry-run', '--partial', '--on-conflict', 'replace'),
      load(`${folder}/a.json`, '--batch-id', 'mine', '--rejects', 'named.ndjson'),
    ]);
    const message = 'flags/a.json: contains sprockets, which cannot be used with --dry-run, --partial, --on-conflict\n';
    expect([flags.code, flags.stderr]).toEqual([1, message]);
    expect([named.code, named.stderr]).toEqual([
      1,
      'flags/a.json: contains sprockets, which cannot be used with --batch-id\n',
    ]);
    expect(JSON.stringify((await get('sprockets?limit=100')).results)).not.toContain('"teeth":90');
  });
});
