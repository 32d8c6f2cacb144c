import { setImmediate as nextTurn } from 'node:timers/promises';
import { elementsOf, findMember, skipSpace } from '#json';
import { jsonBodyOf, Operations, type Operation, type Outcome, type Write } from '#jobs';
import { countOf, mistakesIn, Problem, type InputError, type ReadJson } from '#platform';
import { FeedWriter, type Became, type FeedObject } from '#warehouse';
import { Injectable, type OnModuleInit } from '@nestjs/common';
import { timeOfMicros, utcOf } from './clock.js';
import { readingText, roomOf, toObject, type Reading, type Room } from './reading.js';
import { isReading, NewReadingDto, READINGS_MAX } from './temperatures.dto.js';

/** A wrong one costs 50 µs, a good one 10; so many at once, and other requests wait for some milliseconds at most. */
const SLICE_READINGS = 100;

/** What a body holds, and what to answer when that is stored. */
interface Incoming {
  objects: FeedObject[];
  outcome: (became: readonly Became[]) => Outcome;
}

/** What the route that stores readings does, at once or as a job. */
@Injectable()
export class TemperatureOperations implements OnModuleInit {
  readonly record: Operation = { name: 'temperatures.record', run: (write) => this.runRecord(write) };

  constructor(
    private readonly writer: FeedWriter,
    private readonly operations: Operations,
  ) {}

  onModuleInit(): void {
    this.operations.add(this.record);
  }

  private async runRecord(write: Write): Promise<Outcome> {
    const { projectId, params, query, base, receipt } = write;
    const room = roomOf(params);
    const arrivedAt = Number(query.arrivedAt);
    const body = jsonBodyOf(write).read();
    const { objects, outcome } = Array.isArray(body.value)
      ? await readList(room, body.value, body.text, arrivedAt)
      : readOne(room, body, arrivedAt, base);
    const batchId = `temperatures-${timeOfMicros(arrivedAt).slice(0, 10)}`;
    const became = await this.writer.write(
      { projectId, batchId, objects, ifExists: 'replace' },
      receipt && ((tx, stored) => receipt(tx, outcome(stored))),
    );
    return outcome(became);
  }
}

function readOne(room: Room, { value, text }: ReadJson, arrivedAt: number, base: string): Incoming {
  if (!isReading(value)) throw refusal(mistakesIn(NewReadingDto, value, ''));
  const reading = readingOf(value, text, skipSpace(text, 0), arrivedAt);
  const object = toObject(room, reading);
  const headers = { Location: `${base}/objects/${object.objectId}` };
  return { objects: [object], outcome: () => ({ status: 201, text: readingText(room, reading), headers, items: 1 }) };
}

async function readList(room: Room, sent: readonly unknown[], text: string, arrivedAt: number): Promise<Incoming> {
  if (sent.length === 0) throw refusal([{ pointer: '', detail: 'must have a reading at least' }]);
  if (sent.length > READINGS_MAX) throw tooMany(sent.length);
  const [errors, objects]: [InputError[], FeedObject[]] = [[], []];
  let place = 0;
  for (const { start } of elementsOf(text, skipSpace(text, 0))) {
    if (place > 0 && place % SLICE_READINGS === 0) await nextTurn();
    const one = sent[place];
    if (!isReading(one)) errors.push(...mistakesIn(NewReadingDto, one, `/${String(place)}`));
    else if (errors.length === 0) objects.push(toObject(room, readingOf(one, text, start, arrivedAt + place)));
    place++;
  }
  if (errors.length > 0) throw refusal(errors);
  const outcome = (became: readonly Became[]): Outcome => {
    const [stored, replaced] = [became.length, became.filter((one) => one === 'replaced').length];
    return {
      status: 201,
      text: JSON.stringify({ building: room.building, room: room.room, stored, replaced }),
      items: stored,
    };
  };
  return { objects, outcome };
}

/** @param start where the reading stands in the text, from which its digits are cut */
function readingOf({ recorded_at: sent }: NewReadingDto, text: string, start: number, arrivedAt: number): Reading {
  const { value: span } = findMember(text, start, 'temperature');
  const recordedAt = sent == null ? timeOfMicros(arrivedAt) : utcOf(sent);
  return { temperature: text.slice(span?.start, span?.end), recordedAt };
}

function refusal(errors: readonly InputError[]): Problem {
  return new Problem('invalid-body', { detail: countOf(errors.length), errors });
}

function tooMany(count: number): Problem {
  const detail = `The array has ${String(count)} readings; readings_max is ${String(READINGS_MAX)}, see /api/v1/limits.`;
  return new Problem('too-large', { detail });
}
