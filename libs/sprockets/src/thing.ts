import type { InputError } from '#platform';
import type { ObjectRow } from '#warehouse';

/** What makes a factory or a sprocket of an object, and the other way round. */
export interface Kind {
  /** The batch that they are in, the member that lists them in a file, and their address. */
  name: 'factories' | 'sprockets';
  /** A key that each of them has. */
  key: string;
  /**
   * One as it was sent.
   * @param text the body, from which its numbers are cut to the letter; it stands there at `start`
   * @param pointer where that is
   */
  toObject(value: unknown, text: string, start: number, pointer: string): Made;
  /** The JSON of one as it is read; undefined for an object that is none. */
  fromObject(object: Pick<ObjectRow, 'object_id' | 'data'>): string | undefined;
}

/** The object's data as a list of pairs, or why there is none. */
export type Made = { data: string } | { mistakes: InputError[] };

/** Whether it is an object, and no list. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
