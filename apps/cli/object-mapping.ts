import { DocumentError, membersIn, type Document, type DocumentMember } from './document.js';
import { TimeFormat } from './time-format.js';
import { TimeZone } from './time-zone.js';

/** What of each document is what of an object. */
export interface MappingOptions {
  /** The names of columns or members, or dotted paths of members. */
  id: string | undefined;
  subject: string | undefined;
  observedAt: string | undefined;
  timeFormat: string | undefined;
  timeZone: string | undefined;
  /** Whether nested objects become keys with dots. */
  isFlat: boolean;
}

/** Makes objects of Stowage of documents. */
export class ObjectMapping {
  private readonly times: TimeFormat;

  /** @throws UsageError */
  constructor(
    private readonly options: MappingOptions,
    private readonly batchId: string,
  ) {
    this.times = new TimeFormat(options.timeFormat, new TimeZone(options.timeZone ?? 'UTC'));
  }

  /**
   * The object as a line of NDJSON, without its line feed.
   * @param index the number of documents before this one
   * @throws DocumentError
   */
  lineOf(document: Document, index: number): string {
    const { subject, observedAt, isFlat } = this.options;
    const idPath = this.options.id ?? document.idMember;
    const id = this.idOf(document, index);
    const parts = [`"object_id":${JSON.stringify(id)}`];
    const about = subject === undefined ? undefined : textAt(document, subject, 'subject');
    if (about !== undefined) parts.push(`"subject":${JSON.stringify(about)}`);
    const time = observedAt === undefined ? undefined : this.timeOf(document, observedAt);
    if (time !== undefined) parts.push(`"observed_at":"${time}"`);
    const used = new Set([idPath, subject, observedAt]);
    const rest = document.members.filter(({ name }) => !used.has(name));
    const data = isFlat ? rest.flatMap((member) => flat(member)) : rest;
    const members = data.map(({ name, valueText }) => `${JSON.stringify(name)}:${valueText}`);
    // Line breaks of JSON are between its tokens, where a space is the same.
    return `{${parts.join()},"data":{${members.join()}}}`.replace(/[\r\n]/g, ' ');
  }

  /** @throws DocumentError for a document without the id that the options name */
  private idOf(document: Document, index: number): string {
    const { idMember, members } = document;
    if (this.options.id !== undefined) return requireId(document, this.options.id);
    const own = idMember === undefined ? undefined : valueAt(members, idMember);
    if (own === undefined || idMember === undefined) return `${this.batchId}.${String(index)}`;
    // A number is unique in its collection, but an id is unique in the project.
    return /^[-\d]/.test(own) ? `${this.batchId}.${own}` : requireId(document, idMember);
  }

  private timeOf(document: Document, path: string): string | undefined {
    const text = textAt(document, path, 'observed_at');
    if (text === undefined) return undefined;
    const time = this.times.toUtc(text);
    if (time !== null) return time;
    throw new DocumentError(document.place, `${this.times.detailOf(text)} (${path})`, '/observed_at');
  }
}

/** @throws DocumentError for a document without an id */
function requireId(document: Document, path: string): string {
  const id = textAt(document, path, 'object_id');
  if (id !== undefined) return id;
  throw new DocumentError(document.place, `has no ${JSON.stringify(path)}, which is the id (--id)`, '/object_id');
}

/** The text or number at a path; undefined where there is none, or null or empty text. @throws DocumentError for other values */
function textAt({ place, members }: Document, path: string, member: string): string | undefined {
  const valueText = valueAt(members, path) ?? 'null';
  if (valueText === 'null' || valueText === '""') return undefined;
  const first = valueText.charAt(0);
  if (first === '"') return JSON.parse(valueText) as string;
  if (/[-\d]/.test(first)) return valueText;
  throw new DocumentError(place, `must be text or a number (${path})`, `/${member}`);
}

/** @param path the name of a member, or such a name, a dot and a path in its value */
function valueAt(members: readonly DocumentMember[], path: string): string | undefined {
  const found = members.find(({ name }) => name === path);
  if (found !== undefined) return found.valueText;
  for (let dot = path.indexOf('.'); dot !== -1; dot = path.indexOf('.', dot + 1)) {
    const parent = members.find(({ name }) => name === path.slice(0, dot))?.valueText;
    if (parent?.startsWith('{') !== true) continue;
    const value = valueAt(membersIn(parent), path.slice(dot + 1));
    if (value !== undefined) return value;
  }
  return undefined;
}

/** The members of nested objects, with dots between the names. An empty object stays. */
function flat({ name, valueText }: DocumentMember): DocumentMember[] {
  const members = valueText.startsWith('{') ? membersIn(valueText) : [];
  if (members.length === 0) return [{ name, valueText }];
  return members.flatMap((member) => flat({ ...member, name: `${name}.${member.name}` }));
}
