import { memberText, skipSpace } from '#json';
import { jsonBodyOf, Operations, type Operation, type Outcome, type Write } from '#jobs';
import { mistakesIn, Problem, utcOf, utcOfMicros } from '#platform';
import { FeedWriter, invalidBody, makeEach, sentIn, type Became, type Made, type Sent } from '#warehouse';
import { Injectable } from '@nestjs/common';
import { readingText, roomOf, toObject, type Reading } from './reading.js';
import { isReading, NewReadingDto, READINGS_MAX } from './temperatures.dto.js';

/** What the route that stores readings does, at once or as a job. */
@Injectable()
export class TemperatureOperations {
  readonly record: Operation = { name: 'temperatures.record', run: (write) => this.runRecord(write) };

  constructor(
    private readonly writer: FeedWriter,
    operations: Operations,
  ) {
    operations.add(this.record);
  }

  private async runRecord(write: Write): Promise<Outcome> {
    const { projectId, params, query, base, receipt } = write;
    const { building, room, subject } = roomOf(params);
    const arrivedAt = Number(query.arrivedAt);
    const { value, text } = jsonBodyOf(write).read();
    const body = { text, start: skipSpace(text, 0), pointer: '' };
    if (Array.isArray(value)) refuseCount(value.length);
    const sent = Array.isArray(value) ? sentIn(value, body) : [{ value, ...body }];
    const readings = await makeEach(sent, (one, place) => readingOf(one, arrivedAt + place));
    const objects = readings.map((reading) => toObject({ building, room, subject }, reading));

    const outcome = (became: readonly Became[]): Outcome => {
      const [first] = readings;
      if (first !== undefined && !Array.isArray(value)) {
        const headers = { Location: `${base}/objects/${objects[0]?.objectId ?? ''}` };
        return { status: 201, text: readingText({ building, room }, first), headers, items: 1 };
      }
      const counts = { stored: became.length, replaced: became.filter((one) => one === 'replaced').length };
      return { status: 201, text: JSON.stringify({ building, room, ...counts }), items: counts.stored };
    };
    const batchId = `temperatures-${utcOfMicros(arrivedAt).slice(0, 10)}`;
    const became = await this.writer.write(
      { projectId, batchId, objects, ifExists: 'replace' },
      receipt && ((tx, stored) => receipt(tx, outcome(stored))),
    );
    return outcome(became);
  }
}

/** @throws Problem invalid-body for no reading; too-large */
function refuseCount(count: number): void {
  if (count === 0) throw invalidBody([{ pointer: '', detail: 'must have a reading at least' }]);
  if (count <= READINGS_MAX) return;
  const detail = `The array has ${String(count)} readings; readings_max is ${String(READINGS_MAX)}, see /api/v1/limits.`;
  throw new Problem('too-large', { detail });
}

function readingOf({ value, text, start, pointer }: Sent, arrivedAt: number): Made<Reading> {
  if (!isReading(value)) return { mistakes: mistakesIn(NewReadingDto, value, pointer) };
  const recordedAt = value.recorded_at == null ? utcOfMicros(arrivedAt) : utcOf(value.recorded_at);
  return { made: { temperature: memberText(text, start, 'temperature'), recordedAt } };
}
