import { get as httpGet, type IncomingMessage } from 'node:http';
import type { TestApi } from '../harness/api.js';
import type { ObjectBody } from '../objects/wire.js';

export interface Change {
  change: 'created' | 'changed' | 'deleted';
  object_id: string;
  batch_id: string;
  at: string;
  object: ObjectBody | null;
}

export interface ChangesBody {
  results: Change[];
  next: string;
  has_more: boolean;
}

/** @param query parameters such as `wait=1` */
export async function readChanges(api: TestApi, key: string, since?: string, query = ''): Promise<ChangesBody> {
  const parameters = [...(since === undefined ? [] : [`since=${since}`]), ...(query === '' ? [] : [query])];
  const reply = await api.call('GET', `/objects/changes?${parameters.join('&')}`, { key });
  if (reply.status !== 200) throw new Error(reply.text);
  return reply.json<ChangesBody>();
}

/** All changes after a cursor, over several pages. */
export async function allChanges(
  api: TestApi,
  key: string,
  since: string,
  query = '',
): Promise<{ changes: Change[]; next: string }> {
  const changes: Change[] = [];
  for (;;) {
    const page = await readChanges(api, key, since, query);
    changes.push(...page.results);
    since = page.next;
    if (!page.has_more) return { changes, next: since };
  }
}

/** `created a`, without times and data. */
export const brief = (changes: readonly Change[]): string[] =>
  changes.map(
    ({ change, object_id: id, object }) => `${change} ${id}${object === null && change !== 'deleted' ? ' null' : ''}`,
  );

/** A copy of objects that is kept by their changes. */
export class Mirror {
  readonly objects = new Map<string, string>();

  apply(changes: readonly Change[]): void {
    for (const { object_id: id, object } of changes) {
      if (object === null) this.objects.delete(id);
      else this.objects.set(id, JSON.stringify(object));
    }
  }
}

export interface SentEvent {
  id: string;
  /** Undefined where the event only moves the cursor. */
  change: Change | undefined;
}

/** A stream of Server-Sent Events. */
export class EventStream {
  private text = '';
  private readonly queue: SentEvent[] = [];
  private wake: (() => void) | undefined;
  /** Whether the server has ended the response. */
  hasEnded = false;

  private constructor(readonly response: IncomingMessage) {
    response.setEncoding('utf8');
    response.on('data', (chunk: string) => {
      this.add(chunk);
    });
    response.on('close', () => {
      this.hasEnded = response.complete;
      this.wake?.();
    });
    response.on('error', () => undefined);
  }

  static open(api: TestApi, key: string, query: string, headers: Record<string, string> = {}): Promise<EventStream> {
    return new Promise((resolve, reject) => {
      const all = { 'X-Api-Key': key, Accept: 'text/event-stream', ...headers };
      httpGet(`${api.origin}/api/v1/objects/changes?${query}`, { headers: all, agent: false }, (response) => {
        resolve(new EventStream(response));
      }).on('error', reject);
    });
  }

  /** The next event; undefined at the end of the stream. */
  async next(): Promise<SentEvent | undefined> {
    while (this.queue.length === 0 && !this.response.closed) {
      await new Promise<void>((resolve) => (this.wake = resolve));
    }
    return this.queue.shift();
  }

  /** The next event with a change. */
  async nextChange(): Promise<SentEvent & { change: Change }> {
    for (;;) {
      const event = await this.next();
      if (event === undefined) throw new Error('the stream has ended');
      if (event.change !== undefined) return event as SentEvent & { change: Change };
    }
  }

  close(): void {
    this.response.destroy();
  }

  private add(chunk: string): void {
    const events = (this.text + chunk).split('\n\n');
    this.text = events.pop() ?? '';
    for (const event of events) {
      const fields = new Map(event.split('\n').map((line) => line.split(/: (.*)/s).slice(0, 2) as [string, string]));
      const data = fields.get('data');
      const id = fields.get('id');
      if (id !== undefined)
        this.queue.push({ id, change: data === undefined ? undefined : (JSON.parse(data) as Change) });
    }
    this.wake?.();
  }
}
