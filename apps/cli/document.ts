import { elementsOf, membersOf, NUMBER_PATTERN, skipSpace } from '#json';

/** A member or a cell: its name and its value as JSON text. */
export interface DocumentMember {
  name: string;
  valueText: string;
}

/** A row, or a JSON object that is not an object of Stowage yet. */
export interface Document {
  /** Its line, or its position in a list from 1. */
  place: number;
  members: DocumentMember[];
  /** The member that is the id where none is named. */
  idMember?: string | undefined;
}

/** What is wrong with one document of a file. */
export class DocumentError extends Error {
  override name = 'DocumentError';

  constructor(
    readonly place: number,
    readonly detail: string,
    /** JSON Pointer into the document. */
    readonly pointer = '',
  ) {
    super(detail);
  }
}

/** @throws DocumentError for a text that is not a JSON object */
export function jsonDocument(place: number, text: string): Document {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new DocumentError(place, 'is not valid JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new DocumentError(place, 'is not a JSON object');
  }
  return { place, members: membersIn(text) };
}

/** The members of an object, whose text is valid JSON. */
export function membersIn(text: string): DocumentMember[] {
  return Array.from(membersOf(text, skipSpace(text, 0)), ({ name, start, end }) => ({
    name,
    valueText: text.slice(start, end),
  }));
}

/** A feature of GeoJSON (RFC 7946, section 3.2): its properties and its other members. */
export function featureDocument(place: number, text: string): Document {
  const { members } = jsonDocument(place, text);
  const properties = members.find(({ name, valueText }) => name === 'properties' && valueText.startsWith('{'));
  const own = members.filter(({ name }) => name !== 'type' && name !== 'properties');
  const idMember = own.some(({ name }) => name === 'id') ? 'id' : undefined;
  return { place, members: [...own, ...membersIn(properties?.valueText ?? '{}')], idMember };
}

/** A document as `mongoexport` writes it, whose values have JSON types (MongoDB Extended JSON, version 2). */
export function mongoDocument(place: number, text: string): Document {
  const { members } = jsonDocument(place, text);
  const plain = members.map(({ name, valueText }) => ({ name, valueText: plainValue(valueText) }));
  return { place, members: plain, idMember: plain.some(({ name }) => name === '_id') ? '_id' : undefined };
}

/** Replaces `{"$oid": …}` and its like anywhere in a value. */
function plainValue(text: string): string {
  if (text.startsWith('[')) {
    return `[${elementTexts(text).map(plainValue).join()}]`;
  }
  if (!text.startsWith('{')) return text;
  const members = membersIn(text);
  const [first] = members;
  const plain = members.length === 1 && first !== undefined ? plainWrapper(first) : undefined;
  if (plain !== undefined) return plain;
  return `{${members.map(({ name, valueText }) => `${JSON.stringify(name)}:${plainValue(valueText)}`).join()}}`;
}

const NUMBER = new RegExp(`^${NUMBER_PATTERN}$`);

/** The value of an object with a single member, such as `{"$numberLong": "5"}`; undefined for any other member. */
function plainWrapper({ name, valueText }: DocumentMember): string | undefined {
  const value = JSON.parse(valueText) as unknown;
  switch (name) {
    case '$oid':
    case '$symbol':
    case '$uuid':
      return valueText;
    case '$numberInt':
    case '$numberLong':
    case '$numberDouble':
    case '$numberDecimal':
      return typeof value === 'string' && NUMBER.test(value) ? value : valueText;
    case '$date': {
      const date = new Date(typeof value === 'string' ? value : Number(plainValue(valueText)));
      return Number.isNaN(date.getTime()) ? valueText : JSON.stringify(date.toISOString());
    }
  }
  return undefined;
}

function elementTexts(text: string): string[] {
  return Array.from(elementsOf(text, 0), ({ start, end }) => text.slice(start, end));
}
