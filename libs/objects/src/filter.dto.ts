import { FilterError, parseFilter, type Filter } from '#filter';
import { ChoiceField, fingerprintOf, IdField, PageQuery, Problem, TextField, TimeField } from '#http';

/** The filters that every list of batches and objects takes; docs/filter-language.md explains them. */
export class FilterQuery extends PageQuery {
  @TextField({
    optional: true,
    max: 1_000_000,
    description: 'A JSON object of pairs that an object must have: `{"type":"shoe","color":"red"}`.',
    example: '{"type":"shoe"}',
  })
  data?: string;

  @ChoiceField({
    optional: true,
    choices: ['all', 'any'],
    description: 'Whether `data` asks for all of its pairs (default) or one.',
  })
  match?: 'all' | 'any';

  @TextField({ optional: true, min: 1, max: 255, description: 'A key that the object must have.', example: 'type' })
  key?: string;

  @TextField({
    optional: true,
    max: 1_000_000,
    description:
      'A value that the object must have, in the pair of `key` if that is given. A text that reads as a number, true, false or null matches that too.',
    example: 'shoe',
  })
  value?: string;

  @IdField({ optional: true, description: 'Only of this batch.' })
  batch_id?: string;

  @IdField({ optional: true, description: 'Only about this subject.' })
  subject?: string;

  @TimeField({ optional: true, description: 'Only observed at this time or later.' })
  observed_from?: string;

  @TimeField({ optional: true, description: 'Only observed before this time.' })
  observed_until?: string;
}

export class BatchListQuery extends FilterQuery {
  @ChoiceField({
    optional: true,
    choices: ['objects'],
    description: '`objects` nests the objects of each batch, at most 1,000.',
  })
  include?: 'objects';
}

/** @throws Problem invalid-query naming the parameter that cannot be understood. */
export function filterOf(query: FilterQuery): Filter {
  try {
    return parseFilter(query);
  } catch (error) {
    if (!(error instanceof FilterError)) throw error;
    const { parameter, message } = error;
    throw new Problem('invalid-query', {
      detail: `${parameter} ${message}.`,
      errors: [{ parameter, detail: message }],
    });
  }
}

/** What a cursor of a list of objects is bound to. */
export function objectsFingerprint(projectId: number, filter: Filter): string {
  return fingerprintOf('objects', projectId, filter);
}
