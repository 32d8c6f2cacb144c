import { expect } from '@jest/globals';
import type { TestApi, TestProject } from '../harness/api.js';

/** Sets the list of keys whose values are encrypted. */
export async function encrypt(api: TestApi, { projectId }: TestProject, keys: string[] | null): Promise<void> {
  const reply = await api.call('PATCH', `/projects/${String(projectId)}`, {
    key: api.operatorKey,
    body: { encrypted_keys: keys },
    headers: { 'Content-Type': 'application/merge-patch+json' },
  });
  expect([reply.status, reply.text]).toEqual([200, reply.text]);
}

/** The tables that have rows in which a text is stored, in any column, as text or as bytes. */
export async function tablesWith(api: TestApi, { projectId }: TestProject, text: string): Promise<string[]> {
  const tables = await api.db.sql<{ name: string; has_project: boolean }>(`
    SELECT c.oid::regclass::text AS name, EXISTS (
      SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attname = 'project_id' AND NOT a.attisdropped
    ) AS has_project
    FROM pg_class AS c WHERE relkind IN ('r', 'p') AND relnamespace IN ('public'::regnamespace, 'graphile_worker'::regnamespace)`);
  expect(tables.map(({ name }) => name)).toContain('objects');
  const found: string[] = [];
  for (const { name, has_project: hasProject } of tables) {
    const scope = hasProject ? 't.project_id = $3' : '$3::int IS NOT NULL';
    // A row as text has all of its columns; bytea in hexadecimal.
    const rows = await api.db.sql(
      `SELECT FROM ${name} AS t WHERE ${scope} AND (strpos(t::text, $1) > 0 OR strpos(t::text, $2) > 0) LIMIT 1`,
      [text, Buffer.from(text).toString('hex'), projectId],
    );
    if (rows.length > 0) found.push(name);
  }
  return found;
}
