import type { CallOptions, Reply, TestApi, TestProject } from '../harness/api.js';

export interface ReadingBody {
  building: string;
  room: string;
  temperature: number;
  recorded_at: string;
}

export interface AverageBody {
  building: string;
  room: string;
  duration: string;
  average_temperature: number;
  reading_count: number;
}

/** A client of the readings of one room: writes with the producer key, reads with the analyst key. */
export class RoomClient {
  readonly path: string;

  constructor(
    private readonly api: TestApi,
    private readonly project: TestProject,
    readonly building = 'HQ',
    readonly room = 'lab',
  ) {
    this.path = `/buildings/${encodeURIComponent(building)}/rooms/${encodeURIComponent(room)}/temperatures`;
  }

  /** @param body sent unchanged if it is text, otherwise as JSON */
  post(body: unknown, options: CallOptions = {}): Promise<Reply> {
    return this.api.call('POST', this.path, { key: this.project.keys.producer, body, ...options });
  }

  /** Stores readings. Throws unless the response is 201. */
  async store(body: unknown): Promise<Reply> {
    const reply = await this.post(body);
    if (reply.status !== 201) throw new Error(`not stored: ${reply.text}`);
    return reply;
  }

  get(query = ''): Promise<Reply> {
    return this.api.call('GET', this.path + query, { key: this.project.keys.analyst });
  }

  average(duration: string, until?: string): Promise<Reply> {
    const end = until === undefined ? '' : `&until=${encodeURIComponent(until)}`;
    return this.get(`/average?duration=${encodeURIComponent(duration)}${end}`);
  }
}
