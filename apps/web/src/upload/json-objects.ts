/** The objects of a JSON file, each as it is written. */
export interface JsonObjects {
  /** Null in a list. */
  batchId: string | null;
  objects: string[];
}

/**
 * The objects of a list, or of a batch such as `{"batch_id": "shoes", "objects": []}`. Their text is kept, so that numbers keep every
 * digit.
 * @returns null for JSON of another form
 * @throws SyntaxError for a text that is not JSON
 */
export function parseJsonObjects(text: string): JsonObjects | null {
  const value: unknown = JSON.parse(text);
  if (Array.isArray(value)) return { batchId: null, objects: elementsAt(text, text.indexOf('[')) };
  if (typeof value !== 'object' || value === null) return null;
  const { batch_id: batchId, objects } = value as { batch_id?: unknown; objects?: unknown };
  if (!Array.isArray(objects)) return null;
  const start = text.indexOf('[', endOfMemberName(text, 'objects'));
  return { batchId: typeof batchId === 'string' ? batchId : null, objects: elementsAt(text, start) };
}

/** The index after the name of a member of the outermost object; the last one of that name, as for `JSON.parse`. */
function endOfMemberName(text: string, name: string): number {
  let depth = 0;
  let found = 0;
  for (let index = 0; index < text.length; index++) {
    const c = text.charAt(index);
    if (c === '{' || c === '[') depth++;
    if (c === '}' || c === ']') depth--;
    if (c !== '"') continue;
    const end = endOfString(text, index);
    const isName = depth === 1 && /^\s*:/.test(text.slice(end, end + 100));
    if (isName && JSON.parse(text.slice(index, end)) === name) found = end;
    index = end - 1;
  }
  return found;
}

/** The texts of the elements of the list that begins at `start`, each on one line. */
function elementsAt(text: string, start: number): string[] {
  const elements: string[] = [];
  let depth = 0;
  let from = start + 1;
  const add = (end: number): void => {
    // Line breaks are between values only: in a text they are escaped.
    const element = text
      .slice(from, end)
      .replace(/\s*[\r\n]\s*/g, ' ')
      .trim();
    if (element !== '') elements.push(element);
    from = end + 1;
  };
  for (let index = start; index < text.length; index++) {
    const c = text.charAt(index);
    if (c === '"') index = endOfString(text, index) - 1;
    else if (c === ',' && depth === 1) add(index);
    else if (c === '{' || c === '[') depth++;
    else if (c === '}' || c === ']') depth--;
    if (depth === 0) {
      add(index);
      break;
    }
  }
  return elements;
}

/** The index after the text that begins at `start`. */
function endOfString(text: string, start: number): number {
  let index = start + 1;
  for (; text.charAt(index) !== '"'; index++) if (text.charAt(index) === '\\') index++;
  return index + 1;
}
