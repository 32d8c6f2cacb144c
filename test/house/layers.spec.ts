import { describe, expect, it } from '@jest/globals';
import { ESLint } from 'eslint';

/** The linter with only its rules about imports and errors. Other rules need type information for the whole project, which takes seconds. */
const eslint = new ESLint({
  overrideConfig: { languageOptions: { parserOptions: { projectService: false } } },
  ruleFilter: ({ ruleId }) => /^no-restricted-(imports|syntax)$/.test(ruleId),
});

/** Returns the lint messages for a file. */
async function lint(filePath: string, source: string): Promise<string[]> {
  const [result] = await eslint.lintText(source, { filePath });
  return (result?.messages ?? []).map(({ message }) => message);
}

describe('imports go down only', () => {
  it.each([
    ['libs/json/src/index.ts', '#platform'],
    ['libs/csv/src/index.ts', '#platform'],
    ['libs/filter/src/index.ts', '#http'],
    ['libs/platform/src/index.ts', '#database'],
    ['libs/database/src/index.ts', '#http'],
    ['libs/backup/src/index.ts', '#http'],
    ['libs/http/src/index.ts', '#access'],
    ['libs/access/src/index.ts', '#jobs'],
    ['libs/jobs/src/index.ts', '#deletion'],
    ['libs/store/src/index.ts', '#objects'],
    ['libs/objects/src/index.ts', '#batches'],
    ['libs/analytics/src/index.ts', '#batches'],
    ['libs/export/src/index.ts', '#analytics'],
    ['libs/feeds/src/index.ts', '#batches'],
    ['libs/feeds/src/index.ts', '#firmware'],
    ['libs/firmware/src/index.ts', '#temperatures'],
    ['migrations/index.ts', '#platform'],
    ['libs/access/src/index.ts', '../../http/src/problems.js'],
  ])('rejects in %s an import of %s', async (file, imported) => {
    expect(await lint(file, `export * from '${imported}';\n`)).toHaveLength(1);
  });

  it.each([
    ['libs/filter/src/index.ts', '#json'],
    ['libs/http/src/index.ts', '#database'],
    ['libs/batches/src/index.ts', '#objects'],
    ['libs/deletion/src/index.ts', '#jobs'],
    ['libs/export/src/index.ts', '#objects'],
    ['libs/firmware/src/index.ts', '#feeds'],
    ['libs/temperatures/src/index.ts', '#analytics'],
    ['apps/api/main.ts', '#batches'],
  ])('allows in %s an import of %s', async (file, imported) => {
    expect(await lint(file, `export * from '${imported}';\n`)).toEqual([]);
  });
});

it.each(['String(error)', 'x ?? String(reason)'])(
  'rejects ${%s} in a message of the log, which may quote data',
  async (text) => {
    const source = `export const log = () => this.log.warn(\`failed: \${${text}}\`);\n`;
    expect(await lint('libs/jobs/src/index.ts', source)).toEqual([expect.stringContaining('describeError')]);
  },
);
