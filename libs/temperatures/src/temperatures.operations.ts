import { memberText } from '#json';
import { jsonBody, pathParam, type WriteResponse, type WriteRequest } from '#jobs';
import { validateDto } from '#http';
import { toUtc, utcFromMicros } from '#platform';
import {
  dailyBatchId,
  parseEach,
  readItems,
  type FeedWriteResult,
  type FeedPlan,
  type Parsed,
  type InputItem,
} from '#feeds';
import { readingText, roomOf, toObject, type Reading } from './reading.js';
import { NewReadingDto } from './temperatures.dto.js';

/** Plans one reading or a list of readings in the batch of the day. @throws Problem invalid-path, malformed-request, invalid-body, too-large */
export async function planReadings(write: WriteRequest): Promise<FeedPlan> {
  const { baseUrl: base, receivedAtMicros, requestSeq } = write;
  const room = roomOf({ building: pathParam(write, 'building'), room: pathParam(write, 'room') });
  const { items, count, isList } = readItems(jsonBody(write), 'readings');
  let first: Reading | undefined;
  const objects = await parseEach(items, (item, index) => {
    // One microsecond apart and ending at the time of the request, so that no reading is in the future.
    const reading = parseReading(item, receivedAtMicros - (count - 1 - index), `${requestSeq}-${String(index)}`);
    if ('errors' in reading) return reading;
    first ??= reading.value;
    return { value: toObject(room, reading.value) };
  });

  const respond = (results: readonly FeedWriteResult[]): WriteResponse => {
    if (first !== undefined && !isList) {
      const headers = { Location: `${base}/objects/${objects[0]?.objectId ?? ''}` };
      return { status: 201, text: readingText(room, first), headers, items: 1 };
    }
    const replaced = results.filter((one) => one === 'replaced').length;
    const { building, room: name } = room;
    return { status: 201, text: JSON.stringify({ building, room: name, stored: count, replaced }), items: count };
  };
  return { batchId: dailyBatchId('temperatures', receivedAtMicros), objects, ifExists: 'replace', respond };
}

/** @param arrival distinguishes a reading without a time from all other readings of the same microsecond */
function parseReading(
  { value, text, start, pointer }: InputItem,
  receivedAtMicros: number,
  arrival: string,
): Parsed<Reading> {
  const errors = validateDto(NewReadingDto, value, pointer);
  if (errors.count > 0) return { errors };
  const temperature = memberText(text, start, 'temperature');
  const { recorded_at: recordedAt } = value as NewReadingDto;
  if (recordedAt != null) return { value: { temperature, recordedAt: toUtc(recordedAt) } };
  return { value: { temperature, recordedAt: utcFromMicros(receivedAtMicros), arrival } };
}
