import { Config } from '#platform';
import { parseFilter } from '#filter';
import type { PageRequest } from '#http';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApp } from '../../../test/harness/app.js';
import { IndexReadStore, IndexSearch } from '#inverted-index';
import { ObjectCountStore } from './object-count.store.js';
import { ObjectIndexStore } from './object-index.store.js';
import { ObjectListStore } from './object-list.store.js';

let api: TestApp;
beforeAll(async () => {
  api = await TestApp.start();
});
afterAll(() => api.stop());

describe('a filtered page beyond the newest objects', () => {
  it('does not list an object that stops matching between its two statements', async () => {
    const { projectId, keys } = await api.project();
    const objects = Array.from({ length: 2_002 }, (_, n) => ({
      object_id: `o${String(n)}`,
      data: { type: n < 2 ? 'rare' : 'other' },
    }));
    await api.call('POST', '/batches', { key: keys.producer, body: { batch_id: 'b', objects } });

    // The real database, with one change immediately before the statement that reads the page.
    const { database } = api.db;
    const changing = Object.create(database) as typeof database;
    let changes = 0;
    changing.query = async (statement, values) => {
      const text = typeof statement === 'string' ? statement : statement.text;
      if (text.includes('ANY ($2::bigint[])')) {
        changes++;
        const change = { key: keys.admin, body: { data: { type: 'changed' } } };
        expect((await api.call('PUT', '/objects/o1', change)).status).toBe(200);
      }
      return database.query(statement, values);
    };
    const config = new Config({});
    const index = new ObjectIndexStore(changing, new IndexSearch(new IndexReadStore(changing)), config);
    const lists = new ObjectListStore(changing, new ObjectCountStore(changing, index, config), index, config);
    const page: PageRequest = {
      position: { kind: 'offset', offset: 0 },
      size: 10,
      count: 'none',
      fingerprint: '',
      linkBase: 'http://localhost/?',
    };
    const { slice } = await lists.page(projectId, parseFilter({ data: '{"type":"rare"}' }), page);
    expect(changes).toBe(1);
    expect(slice.items.map(({ object_id }) => object_id)).toEqual(['o0']);
  });
});
