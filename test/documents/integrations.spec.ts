import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { DuckDBInstance } from '@duckdb/node-api';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApi } from '../harness/api.js';
import { runPage } from './page-examples.js';

const PAGE = 'docs/integrations.md';

interface Target {
  url: string;
  url_options: { params: { key: string; value: string }[] };
  root_selector: string;
  columns: { selector: string; type: 'timestamp' | 'string' | 'number' }[];
}

interface Dashboard {
  panels: { title: string; targets: Target[] }[];
  templating: { list: { name: string; query: string | { infinityQuery: Target } }[] };
}

let api: TestApi;

beforeAll(async () => {
  for (const tool of ['curl', 'jq']) {
    await promisify(execFile)(tool, ['--version']).catch((cause: unknown) => {
      throw new Error(`${tool} is not installed; install it with \`apt-get install ${tool}\``, { cause });
    });
  }
  api = await TestApi.shared();
});
afterAll(() => api.stop());

describe('docs/integrations.md', () => {
  it('shows what its commands and its SQL statements return in an empty project', async () => {
    const examples = [...(await readFile(PAGE, 'utf8')).matchAll(/^```sql\n(.*?)^```\n\n```csv\n(.*?)^```$/gms)];
    const tables: string[] = [];
    const { outputs, shown } = await runPage(api, PAGE, async (folder) => {
      for (const [, sql = ''] of examples) tables.push(await queryFiles(folder, sql));
    });
    expect(shown.length).toBeGreaterThan(5);
    expect(outputs).toEqual(shown);
    expect(tables.length).toBeGreaterThan(1);
    expect(tables).toEqual(examples.map(([, , csv]) => csv));
  });
});

/** Runs a statement as `duckdb -csv` does in this folder. */
async function queryFiles(folder: string, sql: string): Promise<string> {
  const duck = await (await DuckDBInstance.create()).connect();
  try {
    await duck.run(`SET file_search_path = '${folder}'`);
    const result = await duck.runAndReadAll(sql);
    const rows = [result.columnNames(), ...result.getRows()];
    return rows.map((row) => `${row.map(String).join()}\n`).join('');
  } finally {
    duck.closeSync();
  }
}

describe('the dashboard for Grafana', () => {
  let dashboard: Dashboard;
  let key: string;

  beforeAll(async () => {
    const text = (await api.call('GET', `${api.origin}/guides/grafana-temperatures.json`)).text;
    dashboard = JSON.parse(text) as Dashboard;
    const { keys } = await api.project();
    key = keys.analyst;
    for (const room of ['lab', 'attic']) {
      const body = [20, 22].map((temperature, n) => ({ temperature, recorded_at: `2026-11-26T09:0${String(n)}:00Z` }));
      await api.call('POST', `/buildings/HQ/rooms/${room}/temperatures`, { key: keys.producer, body });
    }
  });

  /** The rows that the data source reads for a target, with the time range of the dashboard replaced. */
  async function rowsOf({ url, url_options: { params }, root_selector: root, columns }: Target): Promise<unknown[][]> {
    const variables: Record<string, string> = {
      '${__from:date:iso}': '2026-11-26T00:00:00.000Z',
      '${__to:date:iso}': '2026-11-27T00:00:00.000Z',
      '${building}': 'HQ',
      '${bucket}': '15m',
    };
    const query = params.map(({ key, value }): [string, string] => [
      key,
      value.replace(/\$\{[^}]*\}/g, (name) => variables[name] ?? `unknown variable ${name}`),
    ]);
    const reply = await api.call('GET', `${api.origin}${url}?${new URLSearchParams(query).toString()}`, { key });
    expect([reply.status, reply.text]).toEqual([200, reply.text]);
    const elements = reply.json<Record<string, Record<string, unknown>[]>>()[root] ?? [];
    return elements.map((element) => columns.map(({ selector }) => element[selector]));
  }

  it('sends requests that return the columns of its panels', async () => {
    const targets = dashboard.panels.flatMap((panel) => panel.targets);
    expect(await Promise.all(targets.map(rowsOf))).toEqual([
      [
        ['2026-11-26T09:00:00Z', 'attic', 21],
        ['2026-11-26T09:00:00Z', 'lab', 21],
      ],
      [
        ['2026-11-26T09:00:00Z', 'attic', 2],
        ['2026-11-26T09:00:00Z', 'lab', 2],
      ],
      [
        ['attic', 22],
        ['lab', 22],
      ],
    ]);
  });

  it('offers the buildings with readings, and buckets that an aggregate accepts', async () => {
    const [building, bucket] = dashboard.templating.list.map(({ query }) => query);
    if (typeof building !== 'object' || typeof bucket !== 'string') throw new Error('the variables are others');
    expect(await rowsOf(building.infinityQuery)).toEqual([['HQ', 'HQ']]);
    for (const one of bucket.split(',')) {
      const path = `/objects/aggregate?op=count&by=time&bucket=${one}`;
      expect([one, (await api.call('GET', path, { key })).status]).toEqual([one, 200]);
    }
  });
});
