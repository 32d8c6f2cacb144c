import { isSafeNumber, LosslessNumber, parse, stringify } from 'lossless-json';

export type JsonObject = Record<string, unknown>;

/**
 * A number that JavaScript cannot hold exactly becomes a `LosslessNumber`, which keeps its text.
 * @throws SyntaxError
 */
export function parseJson(text: string): unknown {
  return parse(text, null, {
    parseNumber: (digits) => (isSafeNumber(digits) ? Number(digits) : new LosslessNumber(digits)),
    onDuplicateKey: ({ newValue }) => newValue,
  });
}

export function toJson(value: unknown, indent?: number): string {
  return stringify(value, null, indent) ?? 'null';
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof LosslessNumber);
}

/** A JSON value as a person reads it: text without quotes. */
export function displayText(value: unknown): string {
  return typeof value === 'string' ? value : toJson(value);
}

/**
 * The value that somebody typed: a number, `true`, `false`, `null` or text. Quotes make text of anything: `"42"`.
 */
export function typedValue(text: string): unknown {
  const trimmed = text.trim();
  if (!/^(-?\d|true$|false$|null$|")/.test(trimmed)) return text;
  try {
    return parseJson(trimmed);
  } catch {
    return text;
  }
}
