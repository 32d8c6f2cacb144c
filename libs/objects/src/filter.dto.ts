import { type EncryptedKeyList, FilterError, parseFilter, type Filter } from '#filter';
import { ChoiceField, fingerprintOf, IdField, SubjectField, TextField, TimeParameter, ValidationErrors } from '#http';

/** A filter of objects; see docs/filter-language.md. */
export class FilterQuery {
  @TextField({
    optional: true,
    max: 1_000_000,
    description:
      'A filter as JSON: pairs and conditions that an object must have, such as `{"type":"shoe","cost":{"$gte":10,"$lt":20}}`. The page /filters explains the operators.',
    example: '{"type":"shoe"}',
  })
  data?: string;

  @ChoiceField({
    optional: true,
    choices: ['all', 'any'],
    description: '`all`: the object meets all conditions of `data` (default). `any`: it meets at least one.',
  })
  match?: 'all' | 'any';

  @TextField({ optional: true, min: 1, max: 255, description: 'A key that the object must have.', example: 'type' })
  key?: string;

  @TextField({
    optional: true,
    max: 1_000_000,
    description:
      'A value that the object must have; with `key`, in the same pair. A text such as `42`, `true` or `null` matches the text and also the number, boolean or null.',
    example: 'shoe',
  })
  value?: string;

  @IdField({ optional: true, description: 'Only objects of this batch.' })
  batch_id?: string;

  @SubjectField({ optional: true, description: 'Only objects about this subject.' })
  subject?: string;

  @SubjectField({ optional: true, description: 'Only objects whose subject begins with this text.' })
  subject_prefix?: string;

  @TimeParameter({ description: 'Only objects with `observed_at` at this time or later.' })
  observed_from?: string;

  @TimeParameter({ description: 'Only objects with `observed_at` before this time.' })
  observed_until?: string;
}

/**
 * @param encrypted the encrypted keys of the project
 * @throws Problem invalid-query that names the invalid parameter
 */
export function filterOf(query: FilterQuery, encrypted: EncryptedKeyList): Filter {
  try {
    return parseFilter(query, encrypted);
  } catch (error) {
    if (!(error instanceof FilterError)) throw error;
    const { parameter, pointer, message } = error;
    const detail = pointer === '' ? message : `is invalid at ${pointer}: ${message}`;
    throw new ValidationErrors({ parameter, detail }).problem('invalid-query');
  }
}

/** The fingerprint that binds cursors to a list of objects. @param sort null for the default order */
export function objectsFingerprint(projectId: number, filter: Filter, sort: object | null = null): string {
  return fingerprintOf('objects', projectId, filter, sort);
}
