import { isSafeNumber, LosslessNumber, parse, stringify } from 'lossless-json';

/** A JSON value. A number that JavaScript cannot hold exactly is a `LosslessNumber`, which keeps its text. */
export type Json = string | number | boolean | null | LosslessNumber | Json[] | JsonObject;
export interface JsonObject {
  [key: string]: Json;
}

/** @throws SyntaxError */
export function parseJson(text: string): Json {
  return parse(text, null, {
    parseNumber: (digits) => (isSafeNumber(digits) ? Number(digits) : new LosslessNumber(digits)),
    onDuplicateKey: ({ newValue }) => newValue,
  }) as Json;
}

export function toJson(value: Json, indent?: number): string {
  return stringify(value, null, indent) ?? 'null';
}

export function isJsonObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof LosslessNumber);
}

/** The value as a person reads it: text without quotes. */
export function displayText(value: Json): string {
  return typeof value === 'string' ? value : toJson(value);
}

/**
 * The value that somebody typed: a number, `true`, `false`, `null` or text. Quotes make text of anything: `"42"`.
 */
export function typedValue(text: string): Json {
  const trimmed = text.trim();
  if (!/^(-?\d|true$|false$|null$|")/.test(trimmed)) return text;
  try {
    return parseJson(trimmed);
  } catch {
    return text;
  }
}
