import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { describe, expect, it } from '@jest/globals';
import { applyPatch, parsePatch } from './json-patch.js';
import { parseTree, treeText } from './json-tree.js';

/** The document after a patch, both as JSON text; or the pointer of the first error. */
function patched(document: string, patch: string, copiedLengthMax = 1_000): string {
  const { operations, errors } = parsePatch(parseTree(patch));
  const [invalid] = errors;
  if (invalid !== undefined) return `invalid ${invalid.pointer}`;
  const result = applyPatch(document, operations, copiedLengthMax);
  if ('document' in result) return treeText(result.document);
  return `${result.isTooLarge ? 'too large' : 'failed'} ${result.error.pointer}`;
}

interface SuiteCase {
  comment?: string;
  doc: unknown;
  patch: unknown;
  expected?: unknown;
  error?: string;
  disabled?: boolean;
}

/** The cases of the official test suite. */
const suite = ['tests.json', 'spec_tests.json'].flatMap((name) => {
  const path = createRequire(import.meta.url).resolve(`json-patch-test-suite/${name}`);
  return JSON.parse(readFileSync(path, 'utf8')) as SuiteCase[];
});

describe('the test suite of JSON Patch', () => {
  const cases = suite.filter(({ disabled }) => disabled !== true);

  it.each(cases.map((one, index) => [one.comment ?? one.error ?? `case ${String(index)}`, one] as const))(
    'passes: %s',
    (_, { doc, patch, expected, error }) => {
      const result = patched(JSON.stringify(doc), JSON.stringify(patch));
      if (error !== undefined) expect(result).toMatch(/^(invalid|failed) /);
      else if (expected !== undefined) expect(JSON.parse(result)).toEqual(expected);
      else expect(result).not.toMatch(/^(invalid|failed) /);
    },
  );

  it('has its cases', () => {
    expect(cases.length).toBeGreaterThan(90);
  });
});

describe('a JSON Patch', () => {
  it.each([
    [
      'keeps every digit',
      '{"n":0.1000,"m":1e400}',
      '[{"op":"add","path":"/k","value":12345678901234567890.0}]',
      '{"n":0.1000,"m":1e400,"k":12345678901234567890.0}',
    ],
    [
      'keeps the digits of a copied number',
      '{"n":0.1000}',
      '[{"op":"copy","from":"/n","path":"/m"}]',
      '{"n":0.1000,"m":0.1000}',
    ],
    ['compares numbers by value', '[1.0,100,0.1]', '[{"op":"test","path":"","value":[1,1e2,0.1000]}]', '[1.0,100,0.1]'],
    [
      'compares digits beyond a double',
      '[12345678901234567890]',
      '[{"op":"test","path":"/0","value":12345678901234567891}]',
      'failed /0',
    ],
    ['compares texts after unescaping', '["\\u0061"]', '[{"op":"test","path":"/0","value":"a"}]', '["\\u0061"]'],
    ['distinguishes a text from a number', '["1"]', '[{"op":"test","path":"/0","value":1}]', 'failed /0'],
    ['distinguishes an empty list from an empty object', '[[]]', '[{"op":"test","path":"/0","value":{}}]', 'failed /0'],
    [
      'distinguishes null from a missing member',
      '{"a":{"b":null}}',
      '[{"op":"test","path":"/a","value":{"c":null}}]',
      'failed /0',
    ],
    [
      'treats __proto__ and constructor as names',
      '{"__proto__":1}',
      '[{"op":"add","path":"/constructor","value":{"__proto__":2}},{"op":"remove","path":"/__proto__"}]',
      '{"constructor":{"__proto__":2}}',
    ],
    ['finds no member of a prototype', '{}', '[{"op":"copy","from":"/toString","path":"/x"}]', 'failed /0/from'],
    ['finds no length of a list', '[1,2]', '[{"op":"remove","path":"/length"}]', 'failed /0/path'],
    ['finds no index with a leading zero', '[1,2]', '[{"op":"remove","path":"/00"}]', 'failed /0/path'],
    ['finds nothing inside a scalar', '{"a":"text"}', '[{"op":"add","path":"/a/0","value":1}]', 'failed /0/path'],
    [
      'evaluates the path of a move after the removal',
      '[7,{"x":0},{"x":1}]',
      '[{"op":"move","from":"/0","path":"/1/x"}]',
      '[{"x":0},{"x":7}]',
    ],
    [
      'rejects a move behind the end of the shorter list',
      '[1,2]',
      '[{"op":"move","from":"/0","path":"/2"}]',
      'failed /0/path',
    ],
    ['moves a value to its own place', '{"a":1}', '[{"op":"move","from":"/a","path":"/a"}]', '{"a":1}'],
    [
      'does not let a copy change with its original',
      '{"a":[1]}',
      '[{"op":"copy","from":"/a","path":"/b"},{"op":"add","path":"/a/-","value":2}]',
      '{"a":[1,2],"b":[1]}',
    ],
    [
      'points at the operation that failed',
      '{"a":1}',
      '[{"op":"add","path":"/b","value":1},{"op":"test","path":"/a","value":2}]',
      'failed /1',
    ],
    ['ignores unknown members of an operation', '{}', '[{"op":"add","path":"/a","value":1,"why":"so"}]', '{"a":1}'],
    ['must be a list', '{}', '{"op":"add"}', 'invalid '],
    ['must have operations that are objects', '{}', '[7]', 'invalid /0'],
    ['must have a known op', '{}', '[{"op":"toString","path":""}]', 'invalid /0/op'],
    ['must have a path', '{}', '[{"op":"remove"}]', 'invalid /0/path'],
    ['must have a pointer as path', '{}', '[{"op":"remove","path":"a"}]', 'invalid /0/path'],
    ['must have valid escapes in a pointer', '{}', '[{"op":"remove","path":"/a~2"}]', 'invalid /0/path'],
    ['must have a value for add', '{}', '[{"op":"add","path":"/a"}]', 'invalid /0/value'],
    ['must have from for copy', '{}', '[{"op":"copy","path":"/a"}]', 'invalid /0/from'],
    ['must not remove the document', '{}', '[{"op":"remove","path":""}]', 'invalid /0/path'],
    ['must not move a value into itself', '{"a":{}}', '[{"op":"move","from":"/a","path":"/a/b"}]', 'invalid /0/path'],
  ])('%s', (_, document, patch, expected) => {
    expect(patched(document, patch)).toBe(expected);
  });

  it('rejects copies that would let the document grow without bound', () => {
    const double = Array.from({ length: 60 }, () => '{"op":"copy","from":"","path":"/-"}').join();
    expect(patched('[1]', `[${double}]`)).toBe('too large /7');
  });

  describe('that would nest the document more than 64 levels deep is rejected', () => {
    const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);
    const path = (depth: number): string => '/0'.repeat(depth);

    it('at the operation of many that add', () => {
      const adds = Array.from(
        { length: 133 },
        (_, n) => `{"op":"add","path":"${path(56 * n)}/-","value":${nested(56)}}`,
      );
      expect(patched('[]', `[${adds.join()}]`)).toBe('failed /1/path');
    });

    it.each([
      ['add', nested(8), `{"op":"add","path":"${path(8)}","value":VALUE}`, 56],
      ['replace', `${'['.repeat(8)}0${']'.repeat(8)}`, `{"op":"replace","path":"${path(8)}","value":VALUE}`, 56],
      ['copy', `[${nested(8)},VALUE]`, `{"op":"copy","from":"/1","path":"${path(9)}"}`, 55],
      ['move', `[${nested(8)},VALUE]`, `{"op":"move","from":"/1","path":"${path(9)}"}`, 55],
    ])('by %s, and 64 levels are accepted', (_, document, operation, deepest) => {
      const result = (depth: number): string =>
        patched(document.replace('VALUE', nested(depth)), `[${operation.replace('VALUE', nested(depth))}]`);
      expect(result(deepest)).toContain('['.repeat(64));
      expect(result(deepest + 1)).toBe('failed /0/path');
    });

    it('where copies of the document into its deepest list double its depth', () => {
      const copies = Array.from({ length: 15 }, (_, n) => `{"op":"copy","from":"","path":"${path(2 ** n)}"}`);
      expect(patched('[]', `[${copies.join()}]`, 1_000_000)).toBe('failed /6/path');
    });

    it('where values move into each other', () => {
      const moves = Array.from({ length: 4 }, (_, n) => `{"op":"move","from":"/1","path":"${path(16 * (n + 1) + 1)}"}`);
      const document = `[${Array.from({ length: 5 }, () => nested(16)).join()}]`;
      expect(patched(document, `[${moves.join()}]`, 1_000_000)).toBe('failed /2/path');
    });
  });

  it('rejects moves to longer paths that would read the document without bound', () => {
    const moves = '{"op":"move","from":"/a","path":"/b/a"},{"op":"move","from":"/b/a","path":"/a"}';
    const document = `{"a":"${'x'.repeat(98)}","b":{}}`;
    expect(patched(document, `[${Array.from({ length: 20 }, () => moves).join()}]`)).toBe('too large /20');
  });

  it('can be applied again after it was applied', () => {
    const patch = '[{"op":"add","path":"/a","value":[1]},{"op":"add","path":"/a/-","value":2}]';
    const { operations } = parsePatch(parseTree(patch));
    const results = [1, 2].map(() => applyPatch('{}', operations, 0));
    expect(results.map((result) => ('document' in result ? treeText(result.document) : ''))).toEqual([
      '{"a":[1,2]}',
      '{"a":[1,2]}',
    ]);
  });
});
