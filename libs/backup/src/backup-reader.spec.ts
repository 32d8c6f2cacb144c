import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { BackupReader } from './backup-reader.js';

const HEADER = {
  format: 'stowage backup',
  version: 1,
  created_at: '2026-11-27T00:00:00.000Z',
  postgresql: 180000,
  migrations: ['A1'],
  queue_migration: 20,
  sequences: { s: { last_value: '7', is_called: true } },
};
const TABLE = { table: 'objects', columns: ['seq'] };

let folder: string;
let path: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'stowage-reader-'));
  path = join(folder, 'backup');
});
afterAll(() => rm(folder, { recursive: true }));

const toLine = (value: unknown): string => `${typeof value === 'string' ? value : JSON.stringify(value)}\n`;

/** Reads a file of these lines to its end. @returns the tables */
async function read(lines: readonly unknown[]): Promise<string[]> {
  await writeFile(path, gzipSync(lines.map(toLine).join(''), { level: 1 }));
  const { reader } = await BackupReader.open(path);
  const tables: string[] = [];
  try {
    for (let entry = await reader.next(); 'table' in entry; entry = await reader.next()) {
      tables.push(entry.table);
      for await (const rows of reader.rows()) expect(rows.length).toBeGreaterThan(0);
    }
    return tables;
  } finally {
    reader.close();
  }
}

function endOf(lines: readonly unknown[], members: object = {}): object {
  const sha256 = createHash('sha256').update(lines.map(toLine).join('')).digest('hex');
  return { tables: { objects: { rows: 1, bytes: 2 } }, sha256, ...members };
}

const CONTENT = [HEADER, TABLE, '1', '\\.'];

describe('BackupReader', () => {
  it('reads a whole file', async () => {
    expect(await read([...CONTENT, endOf(CONTENT)])).toEqual(['objects']);
  });

  it('rejects each unexpected line with an error for the user, whatever JSON or text it is', async () => {
    const members = fc.constantFrom(...Object.keys({ ...HEADER, ...TABLE, ...endOf([]) }));
    const changed = fc.tuple(members, fc.jsonValue({ maxDepth: 2 }));
    const line = fc.oneof(fc.jsonValue({ maxDepth: 2 }), fc.string(), changed);
    const place = fc.constantFrom(0, 1, 4);
    await fc.assert(
      fc.asyncProperty(place, line, async (at, value) => {
        const lines: unknown[] = [...CONTENT, endOf(CONTENT)];
        const isMember = Array.isArray(value) && value.length === 2 && typeof value[0] === 'string';
        lines[at] = isMember ? { ...(lines[at] as object), [value[0] as string]: value[1] } : value;
        const error: unknown = await read(lines).catch((cause: unknown) => cause);
        // A change that leaves the line as it was, or that only the statements of the restore find.
        if (!(error instanceof Error)) return;
        expect([error.name, error.message]).toEqual(['StartupError', expect.stringContaining(path)]);
      }),
      { numRuns: 300 },
    );
  });

  it.each([
    ['a header that is null', [null]],
    ['a header without migrations', [{ ...HEADER, migrations: undefined }]],
    ['a header with a version that is text', [{ ...HEADER, version: '1' }]],
    ['a header with a migration that is a number', [{ ...HEADER, migrations: [7] }]],
    ['a header with a sequence without a state', [{ ...HEADER, sequences: { s: null } }]],
    ['a table that is a number', [HEADER, { table: 7, columns: [] }]],
    ['a table with columns that are text', [HEADER, { table: 'objects', columns: 'seq' }]],
    ['a line that is null', [HEADER, null]],
    ['a line that is a list', [HEADER, []]],
    ['an end with tables that are a list', [...CONTENT, endOf(CONTENT, { tables: [7] })]],
    ['an end with numbers of rows that are text', [...CONTENT, endOf(CONTENT, { tables: { objects: { rows: '1' } } })]],
  ])('rejects %s', async (_, lines) => {
    await expect(read(lines)).rejects.toMatchObject({
      name: 'StartupError',
      message: expect.stringMatching(/is not a backup of Stowage|unexpected line; nothing was restored/),
    });
  });
});
