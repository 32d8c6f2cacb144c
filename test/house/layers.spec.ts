import { describe, expect, it } from '@jest/globals';
import { ESLint } from 'eslint';

/** Our linter with its one rule about imports. The others want the types of the whole product, which take seconds. */
const eslint = new ESLint({
  overrideConfig: { languageOptions: { parserOptions: { projectService: false } } },
  ruleFilter: ({ ruleId }) => ruleId === 'no-restricted-imports',
});

/** What the linter says of a file of this name with this import. */
async function lint(filePath: string, source: string): Promise<string[]> {
  const [result] = await eslint.lintText(source, { filePath });
  return (result?.messages ?? []).map(({ message }) => message);
}

describe('imports go down only', () => {
  it.each([
    ['libs/json/src/index.ts', '#platform'],
    ['libs/filter/src/index.ts', '#platform'],
    ['libs/platform/src/index.ts', '#access'],
    ['libs/access/src/index.ts', '#warehouse'],
    ['libs/access/src/index.ts', '#filter'],
    ['libs/warehouse/src/index.ts', '#firmware'],
    ['libs/firmware/src/index.ts', '#temperatures'],
    ['migrations/index.ts', '#platform'],
    ['libs/access/src/index.ts', '../../platform/src/problems.js'],
  ])('refuses in %s an import of %s', async (file, imported) => {
    expect(await lint(file, `export * from '${imported}';\n`)).toHaveLength(1);
  });

  it.each([
    ['libs/filter/src/index.ts', '#json'],
    ['libs/warehouse/src/index.ts', '#access'],
    ['libs/firmware/src/index.ts', '#warehouse'],
    ['apps/api/main.ts', '#warehouse'],
  ])('allows in %s an import of %s', async (file, imported) => {
    expect(await lint(file, `export * from '${imported}';\n`)).toEqual([]);
  });
});
