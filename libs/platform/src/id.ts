/** The pattern of an id, for JSON schemas. */
export const ID_PATTERN = '^[^\\p{Cc}]*$';
const ID = /^\P{Cc}{1,255}$/u;
export const ID_RULE = 'must be text of 1 to 255 characters without control characters';

/** Whether this can be the id of a batch, an object or a device: 1 to 255 Unicode code points, none a control character. */
export function isId(value: string): boolean {
  return ID.test(value);
}
