import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TestApi, type TestProject } from '../harness/api.js';

let api: TestApi;
let project: TestProject;

beforeAll(async () => {
  api = await TestApi.start();
  project = await api.project();
});
afterAll(() => api.stop());

describe('POST /batches', () => {
  it('stores a batch and says where it is', async () => {
    const body = { batch_id: 'b1', objects: [{ object_id: 'o1', data: [{ key: 'type', value: 'shoe' }] }] };
    const reply = await api.call('POST', '/batches', { key: project.keys.producer, body });
    expect(reply.status).toBe(201);
    const read = await api.call('GET', reply.headers.get('location') ?? '', { key: project.keys.analyst });
    expect(read.json()).toEqual(body);
  });
});
