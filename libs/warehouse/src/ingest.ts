import { elementsOf, membersOf, pointerPart, skipSpace } from '#json';
import { Config, countOf, JsonBody, Problem, type InputError } from '#platform';
import { Injectable } from '@nestjs/common';
import { CreateBatchDto } from './batch.dto.js';
import { BulkSchema } from './bulk-schema.js';
import { CreateObjectDto, PatchObjectDto, ReplaceObjectDto } from './object.dto.js';
import { listOfPairs } from './pairs.js';

/** A batch that was checked and can be stored. */
export interface IncomingBatch {
  batchId: string;
  /** In the order sent; each once. */
  objectIds: string[];
  /** The batch as JSON whose `data` are lists: the client's own text, for PostgreSQL to read. */
  json: Buffer;
}

/** One object's body that was checked, and its text. */
export interface IncomingObject<Dto> {
  dto: Dto;
  /** The pairs as sent, to the letter; undefined where a patch leaves them alone. */
  data: string | undefined;
}

type ObjectDtoClass = typeof CreateObjectDto | typeof ReplaceObjectDto | typeof PatchObjectDto;

/** Names that `data` in shorthand gives twice are two pairs, so both are kept. */
const isShorthand = (pointer: string): boolean => /^(?:\/objects\/\d+)?\/data$/.test(pointer);

/** Reads what producers send: checks all of it, and keeps its text for the database. */
@Injectable()
export class Ingest {
  constructor(
    private readonly schema: BulkSchema,
    private readonly config: Config,
  ) {}

  /** @throws Problem malformed-request, invalid-body, too-large, or conflict for an object_id that stands in it twice */
  readBatch(body: JsonBody): IncomingBatch {
    const { text, value, hasRepeats } = body.read(isShorthand);
    this.refuseTooMany(value);
    this.check(CreateBatchDto, value);
    const batch = value as CreateBatchDto;
    const objectIds = batch.objects.map((object) => object.object_id);
    refuseRepeatedIds(objectIds);
    const isListed = !hasRepeats && batch.objects.every((object) => Array.isArray(object.data));
    return { batchId: batch.batch_id, objectIds, json: isListed ? body.bytes : Buffer.from(withListedData(text)) };
  }

  /** @throws Problem malformed-request or invalid-body */
  readObject<Class extends ObjectDtoClass>(dtoClass: Class, body: JsonBody): IncomingObject<InstanceType<Class>> {
    const { text, value } = body.read(isShorthand);
    this.check(dtoClass, value);
    let data: string | undefined;
    for (const member of membersOf(text, skipSpace(text, 0))) {
      if (member.name === 'data') data = text.slice(member.start, member.end);
    }
    if (data !== undefined) refuseNestedValues(data);
    return { dto: value as InstanceType<Class>, data };
  }

  private check(dtoClass: typeof CreateBatchDto | ObjectDtoClass, value: unknown): void {
    const found = this.schema.check(dtoClass, value);
    if (found !== null) throw new Problem('invalid-body', { detail: countOf(found.errorCount), ...found });
  }

  /** Before the schema is run over a list that will be refused anyway. */
  private refuseTooMany(value: unknown): void {
    const objects = (value as { objects?: unknown } | null)?.objects;
    const max = this.config.limits.batchObjectsMax;
    if (!Array.isArray(objects) || objects.length <= max) return;
    throw new Problem('too-large', {
      detail: `The batch has ${String(objects.length)} objects; BATCH_OBJECTS_MAX is ${String(max)}, see /api/v1/limits.`,
    });
  }
}

function refuseRepeatedIds(ids: readonly string[]): void {
  if (new Set(ids).size === ids.length) return;
  const seen = new Set<string>();
  const errors: InputError[] = [];
  ids.forEach((id, index) => {
    if (seen.has(id))
      errors.push({ pointer: `/objects/${String(index)}/object_id`, detail: `"${id}" stands in this batch already` });
    seen.add(id);
  });
  throw new Problem('conflict', {
    detail: 'An object id stands in the batch more than once; nothing was stored.',
    errors,
  });
}

/** The batch's text with every shorthand written out as a list of pairs; nothing else changes. */
function withListedData(text: string): string {
  const pieces: string[] = [];
  let copied = 0;
  let index = 0;
  for (const batchMember of membersOf(text, skipSpace(text, 0))) {
    if (batchMember.name !== 'objects') continue;
    for (const object of elementsOf(text, batchMember.start)) {
      for (const member of membersOf(text, object.start)) {
        if (member.name !== 'data' || text.charAt(member.start) !== '{') continue;
        const data = text.slice(member.start, member.end);
        refuseNestedValues(data, `/objects/${String(index)}`);
        pieces.push(text.slice(copied, member.start), listOfPairs(data));
        copied = member.end;
      }
      index++;
    }
  }
  pieces.push(text.slice(copied));
  return pieces.join('');
}

/** The schema saw one value of a name given twice; the others have to be scalars and have a key as well. */
function refuseNestedValues(data: string, parent = ''): void {
  if (!data.startsWith('{')) return;
  for (const member of membersOf(data, 0)) {
    if (!/[{[]/.test(data.charAt(member.start))) continue;
    const pointer = `${parent}/data${pointerPart(member.name)}`;
    throw new Problem('invalid-body', {
      detail: countOf(1),
      errors: [{ pointer, detail: 'must be text, a number, true, false or null' }],
    });
  }
}
