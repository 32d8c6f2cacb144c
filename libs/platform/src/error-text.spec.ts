import { describe, expect, it } from '@jest/globals';
import { describeError, internalErrorText, safeError, withoutQuotes } from './error-text.js';

describe('the message of an error', () => {
  it.each([
    ['invalid input syntax for type integer: "secret"', 'invalid input syntax for type integer: "…"'],
    [`Unexpected token 's', "{"a": secr"... is not valid JSON`, 'Unexpected token "…"... is not valid JSON'],
    ['it ends "within a quote', 'it ends "…"'],
    ['no quotes', 'no quotes'],
    ['ungültige Eingabesyntax für Typ integer: »secret«', 'ungültige Eingabesyntax für Typ integer: "…"'],
    ['syntaxe en entrée invalide : « secret »', 'syntaxe en entrée invalide : "…"'],
    ['nieprawidłowa składnia: „secret”', 'nieprawidłowa składnia: "…"'],
    ['Cannot convert 12secret to a BigInt', 'Cannot convert "…" to a BigInt'],
    ['Invalid regular expression: /(secret/: Unterminated group', 'Invalid regular expression: "…"'],
    [`the key stw_admin_${'a'.repeat(36)} failed`, 'the key stw_… failed'],
  ])('has nothing that is quoted: %s', (message, expected) => {
    expect(withoutQuotes(message)).toBe(expected);
  });
});

describe('an error of the database', () => {
  const message = 'invalid input syntax for type integer: "secret\n    at secret"';
  const members = {
    code: '22P02',
    severity: 'ERROR',
    schema: 'public',
    table: 'objects',
    constraint: 'objects_check',
    detail: 'Failing row contains (secret).',
    where: `unnamed portal parameter $1 = 'secret'`,
    query: `SELECT 'secret'`,
    parameters: ['secret'],
    driverError: new Error('secret'),
    cause: new Error('secret'),
  };

  it('keeps its code, the names of the schema and its stack, and nothing that may be a value of a client', () => {
    const safe = safeError(Object.assign(new Error(message), members));
    expect(safe).toEqual({
      type: 'Error',
      message: 'invalid input syntax for type integer: "…"',
      code: '22P02',
      severity: 'ERROR',
      schema: 'public',
      table: 'objects',
      column: undefined,
      constraint: 'objects_check',
      stack: expect.stringMatching(/^ +at .*error-text\.spec/),
    });
    expect(JSON.stringify(safe)).not.toContain('secret');
  });

  it('is printed by a process that it ends with its code and its stack, and nothing that may be a value of a client', () => {
    const text = internalErrorText(Object.assign(new Error(message), members));
    expect(text).toMatch(
      /^stowage: internal error\nError 22P02: invalid input syntax for type integer: "…"\n +at .*error-text\.spec/,
    );
    expect(text).not.toContain('secret');
  });

  it.each([
    ['FEHLER', 'Wert secret ist zu lang'],
    ['ERROR', 'el valor secret es demasiado largo, no es válido'],
  ])('has no message where it is in another language, whose quotes are unknown: %s', (severity, text) => {
    const safe = safeError(Object.assign(new Error(text), { ...members, severity }));
    expect(JSON.stringify(safe)).not.toContain('secret');
    expect(safe).toMatchObject({
      code: '22P02',
      severity,
      table: 'objects',
      message: expect.stringMatching(/left out/),
    });
  });

  it('is described in one line', () => {
    const error = Object.assign(new TypeError(message), members);
    expect(describeError(error)).toBe('TypeError 22P02: invalid input syntax for type integer: "…"');
    expect(describeError(new AggregateError([error], ''))).toBe(describeError(error));
  });
});

it.each([
  ['text "secret"', 'Error: text "…"'],
  [undefined, 'Error: undefined'],
  [null, 'Error: null'],
  [{ name: 'Own', message: 'of "secret"' }, 'Own: of "…"'],
])('describes %j, which is no Error', (thrown, expected) => {
  expect(describeError(thrown)).toBe(expected);
});
