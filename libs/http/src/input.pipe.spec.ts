import { describe, expect, it } from '@jest/globals';
import { ChoiceField, FlagParameter, IdField, IntegerParameter, TextField, TimeField } from './fields.js';
import { InputPipe } from './input.pipe.js';
import { JsonBody } from './json-body.js';
import { Problem } from './problems.js';

const description = 'A field of a test.';

class ExampleDto {
  @TextField({ min: 1, max: 5, description })
  name: string;

  @IdField({ optional: true, description })
  id?: string;

  @ChoiceField({ optional: true, choices: ['red', 'blue'], description })
  color?: 'red' | 'blue';

  @TimeField({ optional: true, nullable: true, description })
  at?: string | null;
}

class ListQuery {
  @IntegerParameter({ min: 1, max: 100, description })
  size?: number;

  @FlagParameter({ description })
  whole?: boolean;

  @TextField({ optional: true, max: 3, description })
  text?: string;
}

const pipe = new InputPipe();

function asBody(body: unknown, metatype: new () => unknown = ExampleDto): unknown {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return pipe.transform(new JsonBody(Buffer.from(text), 1024), { type: 'body', metatype });
}

function asQuery(query: object): unknown {
  return pipe.transform(query, { type: 'query', metatype: ListQuery });
}

/** The slug of a rejection and the locations of its errors. */
function rejectionOf(work: () => unknown): [string, ...string[]] {
  try {
    work();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return [
      error.slug,
      ...error.errors.map((one) => ('pointer' in one ? one.pointer : 'parameter' in one ? one.parameter : one.header)),
    ];
  }
  throw new Error('the input was taken');
}

describe('a body', () => {
  it('is returned as the DTO', () => {
    const body = { name: 'a', id: 'b/c', color: 'red', at: '2024-01-01T00:00:00Z' };
    expect(asBody(body)).toEqual(body);
  });

  it('is passed unread to a handler that reads it itself', () => {
    const body = new JsonBody(Buffer.from('not JSON'), 1024);
    expect(pipe.transform(body, { type: 'body', metatype: JsonBody })).toBe(body);
  });

  it.each([undefined, null, {}])('is rejected as empty when it is %p', (value) => {
    expect(rejectionOf(() => pipe.transform(value, { type: 'body', metatype: ExampleDto }))).toEqual([
      'malformed-request',
    ]);
  });

  it.each([[[]], ['"text"'], ['1'], ['null'], ['true']])('is rejected when it is not an object: %j', (body) => {
    expect(rejectionOf(() => asBody(body))).toEqual(['invalid-body', '']);
  });

  it('is rejected with all errors', () => {
    const body = { name: '', id: '', color: 'green', at: 'now', 'a/b': 1 };
    expect(rejectionOf(() => asBody(body)).sort()).toEqual(['/at', '/a~1b', '/color', '/id', '/name', 'invalid-body']);
  });

  it.each(['__proto__', 'constructor', 'toString', 'hasOwnProperty'])(
    'is rejected with an unknown member %s',
    (name) => {
      expect(rejectionOf(() => asBody(`{"name":"a","${name}":{}}`))).toEqual(['invalid-body', `/${name}`]);
    },
  );

  it('accepts null only for nullable members', () => {
    expect(asBody({ name: 'a', at: null })).toEqual({ name: 'a', at: null });
    for (const member of ['name', 'id', 'color']) {
      expect(rejectionOf(() => asBody({ name: 'a', [member]: null }))).toEqual(['invalid-body', `/${member}`]);
    }
  });
});

describe('a body of tens of thousands of members', () => {
  const many = Object.fromEntries(Array.from({ length: 90_000 }, (_, i) => [`m${String(i)}`, 0]));

  it.each<[string, object, number]>([
    ['that the DTO does not have', { name: 'a', ...many }, 90_000],
    ['within one of its members', { name: many }, 1],
  ])('%s is rejected in linear time, and all errors are counted', (_, body, count) => {
    const before = process.cpuUsage();
    let problem: unknown;
    try {
      pipe.transform(new JsonBody(Buffer.from(JSON.stringify(body)), 10_000_000), {
        type: 'body',
        metatype: ExampleDto,
      });
    } catch (error) {
      problem = error;
    }
    expect(problem).toMatchObject({ slug: 'invalid-body', errorCount: count });
    expect((problem as Problem).errors).toHaveLength(Math.min(count, 100));
    // With a linear search for each name this took half a minute.
    expect(process.cpuUsage(before).user / 1e6).toBeLessThan(5);
  });
});

describe('text', () => {
  it('is measured in characters, not in UTF-16 units', () => {
    for (const name of ['a', 'abcde', '😀😀😀😀😀']) expect(asBody({ name })).toEqual({ name });
    for (const name of ['', 'abcdef', '😀😀😀😀😀😀', 7, ['a'], {}]) {
      expect(rejectionOf(() => asBody({ name }))).toEqual(['invalid-body', '/name']);
    }
  });

  it('in an id has 1 to 255 characters, no control characters, and is not a dot segment', () => {
    for (const id of [' ', '/', '...', 'ü', '😀'.repeat(255), '\u200b', '\u2028'])
      expect(asBody({ name: 'a', id })).toMatchObject({ id });
    for (const id of ['', 'x'.repeat(256), 'a\nb', '\t', '\u007f', '\u0085', '.', '..', 5]) {
      expect(rejectionOf(() => asBody({ name: 'a', id }))).toEqual(['invalid-body', '/id']);
    }
  });
});

describe('query parameters', () => {
  it('are returned as numbers and booleans', () => {
    expect(asQuery({ size: '100', whole: 'true', text: '' })).toEqual({ size: 100, whole: true, text: '' });
    expect(asQuery({ whole: 'false' })).toEqual({ whole: false });
    expect(asQuery({})).toEqual({});
  });

  it.each(['0', '101', '1.5', '1e1', '-1', '+1', ' 1', '', 'x', '0x1', ['1', '2'], '9'.repeat(30)])(
    'reject the number %p',
    (size) => {
      expect(rejectionOf(() => asQuery({ size }))).toEqual(['invalid-query', 'size']);
    },
  );

  it.each(['1', 'yes', 'TRUE', '', ['true', 'true']])('reject the flag %p', (whole) => {
    expect(rejectionOf(() => asQuery({ whole }))).toEqual(['invalid-query', 'whole']);
  });

  it('reject a parameter that appears twice', () => {
    expect(rejectionOf(() => asQuery({ text: ['a', 'b'] }))).toEqual(['invalid-query', 'text']);
    expect(() => asQuery({ text: ['a', 'b'] })).toThrow(
      expect.objectContaining({ errors: [{ parameter: 'text', detail: 'is given more than once' }] }),
    );
  });

  it.each(['nonsense', 'Size', 'constructor', '__proto__', ''])('reject an unknown name: "%s"', (name) => {
    const query = Object.defineProperty({}, name, { value: '1', enumerable: true });
    expect(rejectionOf(() => asQuery(query))).toEqual(['invalid-query', name]);
  });
});

describe('a path parameter', () => {
  it('is returned unchanged', () => {
    expect(pipe.transform('a%2Fb', { type: 'param', metatype: String })).toBe('a%2Fb');
  });
});
