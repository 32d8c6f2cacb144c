import { memberText, skipSpace } from '#json';
import { jsonBodyOf, Operations, type Operation, type Outcome, type Write } from '#jobs';
import { mistakesIn, utcOf, utcOfMicros } from '#platform';
import { FeedWriter, makeEach, refuseCount, sentIn, type Became, type Made, type Sent } from '#warehouse';
import { Injectable } from '@nestjs/common';
import { readingText, roomOf, toObject, type Reading } from './reading.js';
import { isReading, NewReadingDto } from './temperatures.dto.js';

/** When readings arrived, by what this arrival is known, and how many they are. */
interface Arrival {
  at: number;
  id: string;
  count: number;
}

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
    const arrival = { at: Number(query.arrivedAt), id: String(query.arrival), count: 1 };
    const { value, text } = jsonBodyOf(write).read();
    const body = { text, start: skipSpace(text, 0), pointer: '' };
    if (Array.isArray(value)) refuseCount((arrival.count = value.length), '', 'readings');
    const sent = Array.isArray(value) ? sentIn(value, body) : [{ value, ...body }];
    const readings = await makeEach(sent, (one, place) => readingOf(one, arrival, place));
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
    const batchId = `temperatures-${utcOfMicros(arrival.at).slice(0, 10)}`;
    const became = await this.writer.write(
      { projectId, batchId, objects, ifExists: 'replace' },
      receipt && ((tx, stored) => receipt(tx, outcome(stored))),
    );
    return outcome(became);
  }
}

function readingOf({ value, text, start, pointer }: Sent, arrival: Arrival, place: number): Made<Reading> {
  if (!isReading(value)) return { mistakes: mistakesIn(NewReadingDto, value, pointer) };
  const temperature = memberText(text, start, 'temperature');
  if (value.recorded_at != null) return { made: { temperature, recordedAt: utcOf(value.recorded_at) } };
  // A microsecond apart, the last one when they arrived: nothing lies in the future.
  const recordedAt = utcOfMicros(arrival.at - (arrival.count - 1 - place));
  return { made: { temperature, recordedAt, arrival: `${arrival.id}-${String(place)}` } };
}
