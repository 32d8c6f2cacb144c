import { ValidationErrors } from './problems.js';

/** Whether a list is requested by parameters of the query or by members of a body. */
export type InputPlace = 'query' | 'body';

/** @throws Problem invalid-query or invalid-body for this parameter or member */
export function rejectInput(place: InputPlace, name: string, detail: string): never {
  const slug = place === 'query' ? 'invalid-query' : 'invalid-body';
  throw new ValidationErrors({ ...locationIn(place, name), detail }).problem(slug);
}

export function locationIn(place: InputPlace, name: string): { parameter: string } | { pointer: string } {
  return place === 'query' ? { parameter: name } : { pointer: `/${name}` };
}
