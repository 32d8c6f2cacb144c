import type { Outgoing } from './http.js';

/** Where every object goes that is sent for itself. */
export const SHELF = 'shelf';
const PIECE_LINES = 500;

interface SentObject {
  object_id: string;
  data: { key: string; value: string | number | boolean | null }[];
  subject: string;
}

/** One write: how it is sent, as often as one likes, and what has to be there afterwards. */
export interface Write {
  id: string;
  path: string;
  outgoing: () => Outgoing;
  /** Stored under the id: a batch of these, or the one object. */
  objects: () => SentObject[];
  /** Where to look for them, and what of the answer they are. */
  lookAt: string;
  found: (answer: string) => SentObject[];
  /** What is answered when the same is sent again after it was stored: the same as first, or one of these. */
  again: 'first answer' | readonly number[];
}

/** What producers send, by the names of the producers. */
export type Kind = 'batches' | 'streams' | 'objects' | 'keyed' | 'readings';
export const KINDS: readonly Kind[] = ['batches', 'streams', 'objects', 'keyed', 'readings'];

/** The nth write of a producer. Every second or third one is another case, so that each kind is under way at some kill. */
export function writeOf(kind: Kind, n: number): Write {
  const id = `${kind}-${String(n)}`;
  switch (kind) {
    case 'batches':
      return { ...batch(id, n % 2 === 0 ? 5 : 2_000), again: [409] };
    case 'streams':
      return stream(id, n % 3 === 2 ? 5_000 : 20_000, n % 3 === 2);
    case 'objects':
      return object(id);
    case 'readings':
      return readings(id, n % 4 === 3 ? 500 : 1);
    case 'keyed': {
      const prefer = n % 3 === 2 ? { Prefer: 'respond-async' } : {};
      return batch(id, n % 3 === 1 ? 2_000 : 50, { 'Idempotency-Key': id, ...prefer });
    }
  }
}

function batch(id: string, count: number, headers: Record<string, string> = {}): Write {
  const objects = (): SentObject[] => objectsOf(id, count);
  const body = (): string => JSON.stringify({ batch_id: id, objects: objects() });
  const outgoing = (): Outgoing => ({ method: 'POST', headers: { ...JSON_TYPE, ...headers }, body: body() });
  return { id, path: '/batches', outgoing, objects, ...ofBatch(id), again: 'first answer' };
}

function stream(id: string, count: number, isLater: boolean): Write {
  const objects = (): SentObject[] => objectsOf(id, count);
  const later = isLater ? { Prefer: 'respond-async' } : {};
  const headers = { 'Content-Type': 'application/x-ndjson', ...later };
  return {
    id,
    path: `/batches/${id}`,
    outgoing: () => ({ method: 'PUT', headers, body: piecesOf(objects()) }),
    objects,
    ...ofBatch(id),
    again: [isLater ? 202 : 200],
  };
}

function object(id: string): Write {
  const objects = (): SentObject[] => objectsOf(id, 1);
  const headers = { ...JSON_TYPE, Prefer: 'respond-async' };
  const body = (): string => JSON.stringify({ ...objects()[0], batch_id: SHELF });
  const outgoing = (): Outgoing => ({ method: 'POST', headers, body: body() });
  const found = (answer: string): SentObject[] => [bare(JSON.parse(answer) as SentObject)];
  return { id, path: '/objects', outgoing, objects, lookAt: `/objects/${id}`, found, again: [202] };
}

/** Through the door of a feed, one or an array; what it makes of them is looked at as objects, the ids aside. */
function readings(id: string, count: number): Write {
  const path = `/buildings/plant/rooms/${id}/temperatures`;
  const at = (i: number): string => new Date(Date.UTC(2024, 0, 1, 0, 0, i)).toISOString();
  const sent = Array.from({ length: count }, (_, i) => ({ temperature: i / 10, recorded_at: at(i) }));
  const body = (): string => JSON.stringify(count === 1 ? sent[0] : sent);
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
  const found = (answer: string): SentObject[] =>
    (JSON.parse(answer) as { results: SentObject[] }).results
      .reverse()
      .map((one, i) => ({ ...bare(one), object_id: String(i) }));
  const lookAt = `/objects?subject=plant/${id}&page_size=1000`;
  return {
    id,
    path,
    outgoing: () => ({ method: 'POST', headers: JSON_TYPE, body: body() }),
    objects,
    lookAt,
    found,
    again: [201],
  };
}

function ofBatch(id: string): Pick<Write, 'lookAt' | 'found'> {
  return { lookAt: `/batches/${id}`, found: (answer) => (JSON.parse(answer) as { objects: SentObject[] }).objects };
}

function bare({ object_id, data, subject }: SentObject): SentObject {
  return { object_id, data, subject };
}

const JSON_TYPE = { 'Content-Type': 'application/json' };

/** The same objects for the same id, so that only the id has to be remembered. */
function objectsOf(id: string, count: number): SentObject[] {
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

function* piecesOf(objects: readonly SentObject[]): Generator<string> {
  for (let i = 0; i < objects.length; i += PIECE_LINES) {
    yield objects
      .slice(i, i + PIECE_LINES)
      .map((one) => `${JSON.stringify(one)}\n`)
      .join('');
  }
}
