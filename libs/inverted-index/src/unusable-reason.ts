/** Why a search does not use the index, or not only the index, with what each reason means. */
export const UNUSABLE_REASONS = {
  no_condition: 'the filter has no condition on data that the index narrows',
  being_built: 'the index does not have all objects of the project yet',
  many_pending: 'too many objects are not in a segment yet',
  many_wide: 'too many objects have more keys and values than a segment accepts',
  many_outdated: 'too many objects were changed or deleted since their segments were written',
  many_segments: 'the index has more segments than one search reads',
  many_bytes: 'the conditions need more bytes of values than one search reads',
  many_uncertain: 'too many objects may match that the index does not decide',
  many_sorted_blocks: 'the sort needs more blocks of values than one search reads',
  far_page: 'the page is beyond the first 10,000 objects',
} as const;

export type UnusableReason = keyof typeof UNUSABLE_REASONS;

/** The details of a step that does not use the index. */
export function notUsable(...reasons: UnusableReason[]): { is_usable: false; reasons: UnusableReason[] } {
  return { is_usable: false, reasons };
}
