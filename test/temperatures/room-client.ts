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

/** The requests of one room, with the keys that may make them. */
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

  /** @param body text goes as it is */
  post(body: unknown, options: CallOptions = {}): Promise<Reply> {
    return this.api.call('POST', this.path, { key: this.project.keys.producer, body, ...options });
  }

  /** Throws unless it was stored; for tests that are about something else. */
  async stored(body: unknown): Promise<Reply> {
    const reply = await this.post(body);
    if (reply.status !== 201) throw new Error(`not stored: ${reply.text}`);
    return reply;
  }

  get(query = ''): Promise<Reply> {
    return this.api.call('GET', this.path + query, { key: this.project.keys.analyst });
  }

  average(duration: string): Promise<Reply> {
    return this.get(`/average?duration=${encodeURIComponent(duration)}`);
  }
}
