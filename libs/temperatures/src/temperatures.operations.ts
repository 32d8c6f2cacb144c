import { memberText } from '#json';
import { jsonBody, pathParam, type WriteResponse, type WriteRequest } from '#jobs';
import {
  BODY_LIMITS,
  findList,
  isBlankLine,
  JsonBody,
  ndjsonLines,
  partErrors,
  Problem,
  validateDto,
  ValidationErrors,
  type RequestStream,
} from '#http';
import { nextTurn, toUtc, utcFromMicros } from '#platform';
import type { NewObjectRow } from '#store';
import {
  dailyBatchId,
  feedListLimit,
  itemsOf,
  parseEach,
  readItem,
  type FeedWriteResult,
  type FeedInput,
  type FeedStreamStages,
  type Parsed,
  type InputItem,
} from '#feeds';
import { readingText, roomOf, toObject, type Reading, type Room } from './reading.js';
import { NewReadingDto } from './temperatures.dto.js';

/** The readings of a request, in the batch of the day. */
export interface ReadingsInput extends FeedInput {
  room: Room;
  /** The reading of a request that is not a list. */
  single: Reading | undefined;
}

/** Parses one reading or a list of readings. @throws Problem invalid-path, malformed-request, invalid-body, too-large */
export async function parseReadings(request: WriteRequest): Promise<ReadingsInput> {
  const { receivedAtMicros, requestSeq } = request;
  const room = roomIn(request);
  const body = jsonBody(request);
  const list = await findList(body, null, feedListLimit('readings'));
  const input =
    list === null ? { items: [readItem(body)], count: 1, projectId: body.projectId } : itemsOf(list, '', 'readings');
  let single: Reading | undefined;
  const objects = await parseEach(input, (item, index) => {
    // One microsecond apart and ending at the time of the request, so that no reading is in the future.
    const reading = parseReading(item, receivedAtMicros - (input.count - 1 - index), `${requestSeq}-${String(index)}`);
    if ('errors' in reading) return reading;
    if (list === null) single = reading.value;
    return { value: toObject(room, reading.value) };
  });
  return { batchId: dailyBatchId('temperatures', receivedAtMicros), objects, ifExists: 'replace', room, single };
}

export function readingsResponse(
  { room, single, objects }: ReadingsInput,
  results: readonly FeedWriteResult[],
  { baseUrl }: WriteRequest,
): WriteResponse {
  if (single !== undefined) {
    const headers = { Location: `${baseUrl}/objects/${objects[0]?.objectId ?? ''}` };
    return { status: 201, text: readingText(room, single), headers, items: 1 };
  }
  const { building, room: name } = room;
  const replaced = results.filter((one) => one === 'replaced').length;
  const text = JSON.stringify({ building, room: name, stored: objects.length, replaced });
  return { status: 201, text, items: objects.length };
}

/** A stream of NDJSON, one reading a line. */
export const READING_STREAM: FeedStreamStages = {
  batchIdOf: ({ receivedAtMicros, requestSeq }) => `${dailyBatchId('temperatures', receivedAtMicros)}.${requestSeq}`,
  read: readReadings,
  respond(request, { stored, replaced }) {
    const { building, room } = roomIn(request);
    return { status: 201, text: JSON.stringify({ building, room, stored, replaced }), items: stored };
  },
};

/** Validates to the end of the stream, or until as many errors are found as a response lists. @throws Problem invalid-body, too-large */
async function* readReadings(request: WriteRequest, { bytes }: RequestStream): AsyncGenerator<NewObjectRow[]> {
  const room = roomIn(request);
  const { projectId, receivedAtMicros, requestSeq } = request;
  const errors = new ValidationErrors();
  let lineCount = 0;
  let index = 0;
  for await (const { lines, isLast } of ndjsonLines(bytes, BODY_LIMITS.object_limit_bytes)) {
    const objects: NewObjectRow[] = [];
    for (const line of lines) {
      lineCount++;
      if (isBlankLine(line)) continue;
      const reading = readingIn(
        line,
        `/lines/${String(lineCount)}`,
        receivedAtMicros + index,
        `${requestSeq}-${String(index)}`,
      );
      index++;
      if ('errors' in reading) errors.addAll(reading.errors);
      else if (errors.count === 0) objects.push(toObject(room, reading.value));
    }
    errors.isCountMinimum = errors.isFull && !isLast;
    if (errors.isFull) break;
    yield objects;
    await nextTurn(projectId);
  }
  if (index === 0) errors.add({ pointer: '', detail: 'must have at least one reading' });
  if (errors.count > 0) throw errors.problem('invalid-body');
}

function readingIn(line: Buffer, pointer: string, receivedAtMicros: number, nonce: string): Parsed<Reading> {
  try {
    const body = new JsonBody(line, { bytes: BODY_LIMITS.object_limit_bytes, name: 'object_limit_bytes' });
    return parseReading({ ...readItem(body), pointer }, receivedAtMicros, nonce);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return { errors: partErrors(error, pointer, undefined) };
  }
}

function roomIn(request: WriteRequest): Room {
  return roomOf({ building: pathParam(request, 'building'), room: pathParam(request, 'room') });
}

/** @param nonce distinguishes a reading without a time from all other readings of the same microsecond */
function parseReading(
  { value, text, start, pointer }: InputItem,
  receivedAtMicros: number,
  nonce: string,
): Parsed<Reading> {
  const errors = validateDto(NewReadingDto, value, pointer);
  if (errors.count > 0) return { errors };
  const temperature = memberText(text, start, 'temperature');
  const { recorded_at: recordedAt } = value as NewReadingDto;
  if (recordedAt != null) return { value: { temperature, recordedAt: toUtc(recordedAt) } };
  return { value: { temperature, recordedAt: utcFromMicros(receivedAtMicros), nonce } };
}
