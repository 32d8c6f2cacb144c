import { memberText } from '#json';
import { jsonBody, pathParam, type WriteResponse, type WriteRequest } from '#jobs';
import { validateDto } from '#http';
import { toUtc, utcFromMicros } from '#platform';
import { batchOfDay, makeEach, oneOrMany, type Became, type FeedPlan, type Made, type Sent } from '#feeds';
import { readingText, roomOf, toObject, type Reading } from './reading.js';
import { NewReadingDto } from './temperatures.dto.js';

/** A reading, or a list of them, in the batch of the day. @throws Problem invalid-path, malformed-request, invalid-body, too-large */
export async function record(write: WriteRequest): Promise<FeedPlan> {
  const { baseUrl: base, receivedAtMicros, requestSeq } = write;
  const room = roomOf({ building: pathParam(write, 'building'), room: pathParam(write, 'room') });
  const { sent, count, isList } = oneOrMany(jsonBody(write), 'readings');
  let first: Reading | undefined;
  const objects = await makeEach(sent, (one, place) => {
    // A microsecond apart, the last one when they arrived: nothing lies in the future.
    const reading = readingOf(one, receivedAtMicros - (count - 1 - place), `${requestSeq}-${String(place)}`);
    if ('mistakes' in reading) return reading;
    first ??= reading.made;
    return { made: toObject(room, reading.made) };
  });

  const outcome = (became: readonly Became[]): WriteResponse => {
    if (first !== undefined && !isList) {
      const headers = { Location: `${base}/objects/${objects[0]?.objectId ?? ''}` };
      return { status: 201, text: readingText(room, first), headers, items: 1 };
    }
    const replaced = became.filter((one) => one === 'replaced').length;
    const { building, room: name } = room;
    return { status: 201, text: JSON.stringify({ building, room: name, stored: count, replaced }), items: count };
  };
  return { batchId: batchOfDay('temperatures', receivedAtMicros), objects, ifExists: 'replace', outcome };
}

/** @param arrival what distinguishes a reading without a time from all others of the same microsecond */
function readingOf({ value, text, start, pointer }: Sent, receivedAtMicros: number, arrival: string): Made<Reading> {
  const mistakes = validateDto(NewReadingDto, value, pointer);
  if (mistakes.count > 0) return { mistakes };
  const temperature = memberText(text, start, 'temperature');
  const { recorded_at: recordedAt } = value as NewReadingDto;
  if (recordedAt != null) return { made: { temperature, recordedAt: toUtc(recordedAt) } };
  return { made: { temperature, recordedAt: utcFromMicros(receivedAtMicros), arrival } };
}
