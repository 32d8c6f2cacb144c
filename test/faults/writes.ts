import type { RequestData } from './http.js';

/** The batch of all objects that are sent with POST /objects. */
export const SHARED_BATCH = 'shared';
const CHUNK_LINES = 500;

interface SentObject {
  object_id: string;
  data: { key: string; value: string | number | boolean | null }[];
  subject: string;
}

/** A write that can be sent any number of times, and the data that it stores. */
export interface Write {
  id: string;
  path: string;
  request: () => RequestData;
  /** The objects that the write stores. */
  objects: () => SentObject[];
  /** Path of the request that reads the stored objects. */
  readPath: string;
  /** Returns the objects in the response of `readPath`. */
  parseObjects: (text: string) => SentObject[];
  /** The result of the write's job, where it would be another one if the job had its effect twice. */
  result?: object;
  /** The response to a retry after the write was stored: a replay of the first response, or one of these statuses. */
  retry: 'replay' | readonly number[];
}

/** Each kind of write has one producer. */
export type Kind = 'batches' | 'streams' | 'objects' | 'keyed' | 'readings' | 'readingStreams';
export const KINDS: readonly Kind[] = ['batches', 'streams', 'objects', 'keyed', 'readings', 'readingStreams'];

/** Returns the nth write of a kind. Sizes and headers alternate, so that kills interrupt each of them. */
export function writeOf(kind: Kind, n: number): Write {
  const id = `${kind}-${String(n)}`;
  switch (kind) {
    case 'batches':
      return { ...batch(id, n % 2 === 0 ? 5 : 2_000), retry: [409] };
    case 'streams':
      return stream(id, n % 3 === 2 ? 5_000 : 20_000, n % 3 === 2);
    case 'objects':
      return object(id);
    case 'readings':
      return readings(id, n % 4 === 3 ? 500 : 1);
    case 'readingStreams':
      return readingStream(id, n % 2 === 0 ? 1_000 : 5);
    case 'keyed': {
      const prefer = n % 3 === 2 ? { Prefer: 'respond-async' } : {};
      return batch(id, n % 3 === 1 ? 2_000 : 50, { 'Idempotency-Key': id, ...prefer });
    }
  }
}

function batch(id: string, count: number, headers: Record<string, string> = {}): Write {
  const objects = (): SentObject[] => buildObjects(id, count);
  const body = (): string => JSON.stringify({ batch_id: id, objects: objects() });
  const request = (): RequestData => ({ method: 'POST', headers: { ...JSON_TYPE, ...headers }, body: body() });
  return { id, path: '/batches', request, objects, ...batchReader(id), retry: 'replay' };
}

function stream(id: string, count: number, isAsync: boolean): Write {
  const objects = (): SentObject[] => buildObjects(id, count);
  const prefer = isAsync ? { Prefer: 'respond-async' } : {};
  const headers = { 'Content-Type': 'application/x-ndjson', ...prefer };
  return {
    id,
    path: `/batches/${id}`,
    request: () => ({ method: 'PUT', headers, body: chunksOf(objects()) }),
    objects,
    ...batchReader(id),
    retry: [isAsync ? 202 : 200],
  };
}

function object(id: string): Write {
  const objects = (): SentObject[] => buildObjects(id, 1);
  const headers = { ...JSON_TYPE, Prefer: 'respond-async' };
  const body = (): string => JSON.stringify({ ...objects()[0], batch_id: SHARED_BATCH });
  const request = (): RequestData => ({ method: 'POST', headers, body: body() });
  const parseObjects = (text: string): SentObject[] => [pickSent(JSON.parse(text) as SentObject)];
  return { id, path: '/objects', request, objects, readPath: `/objects/${id}`, parseObjects, retry: [202] };
}

type SentReading = { temperature: number; recorded_at: string };

/** One reading or an array for the temperatures feed. */
function readings(id: string, count: number): Write {
  const sent = buildReadings(count);
  const body = (): string => JSON.stringify(count === 1 ? sent[0] : sent);
  const request = (): RequestData => ({ method: 'POST', headers: JSON_TYPE, body: body() });
  return { ...roomOf(id, sent), request, retry: [201] };
}

/** A stream of readings, which a job stores. */
function readingStream(id: string, count: number): Write {
  const sent = buildReadings(count);
  const headers = { 'Content-Type': 'application/x-ndjson', Prefer: 'respond-async' };
  const request = (): RequestData => ({ method: 'POST', headers, body: chunksOf(sent) });
  // A job that ran again after its effect was committed would replace its own readings.
  const result = { building: 'plant', room: id, stored: count, replaced: 0 };
  return { ...roomOf(id, sent), request, result, retry: [202] };
}

function buildReadings(count: number): SentReading[] {
  const at = (i: number): string => new Date(Date.UTC(2024, 0, 1, 0, 0, i)).toISOString();
  return Array.from({ length: count }, (_, i) => ({ temperature: i / 10, recorded_at: at(i) }));
}

/** A room of its own for the readings of a write. They are compared as objects, without their generated ids. */
function roomOf(
  id: string,
  sent: readonly SentReading[],
): Pick<Write, 'id' | 'path' | 'objects' | 'readPath' | 'parseObjects'> {
  const objects = (): SentObject[] =>
    sent.map(({ temperature }, i) => ({
      object_id: String(i),
      data: [
        { key: 'building', value: 'plant' },
        { key: 'room', value: id },
        { key: 'temperature', value: temperature },
      ],
      subject: `plant/${id}`,
    }));
  const parseObjects = (text: string): SentObject[] =>
    (JSON.parse(text) as { results: SentObject[] }).results
      .reverse()
      .map((one, i) => ({ ...pickSent(one), object_id: String(i) }));
  const path = `/buildings/plant/rooms/${id}/temperatures`;
  return { id, path, objects, readPath: `/objects?subject=plant/${id}&page_size=1000`, parseObjects };
}

function batchReader(id: string): Pick<Write, 'readPath' | 'parseObjects'> {
  return {
    readPath: `/batches/${id}`,
    parseObjects: (text) => (JSON.parse(text) as { objects: SentObject[] }).objects,
  };
}

function pickSent({ object_id, data, subject }: SentObject): SentObject {
  return { object_id, data, subject };
}

const JSON_TYPE = { 'Content-Type': 'application/json' };

/** Builds the same objects for the same id. */
function buildObjects(id: string, count: number): SentObject[] {
  return Array.from({ length: count }, (_, i) => ({
    object_id: count === 1 ? id : `${id}-${String(i)}`,
    data: [
      { key: 'type', value: i % 2 === 0 ? 'shoe' : 'boot' },
      { key: 'place', value: i },
      { key: 'sold', value: i % 3 === 0 ? null : i % 3 === 1 },
    ],
    subject: `room ${String(i % 7)}`,
  }));
}

function* chunksOf(objects: readonly object[]): Generator<string> {
  for (let i = 0; i < objects.length; i += CHUNK_LINES) {
    yield objects
      .slice(i, i + CHUNK_LINES)
      .map((one) => `${JSON.stringify(one)}\n`)
      .join('');
  }
}
