import type { Reply, TestApi, TestProject } from '../harness/api.js';

/** An event as it goes over the wire. */
export interface Event {
  id: string;
  device_id: string;
  version: string;
  timestamp: string;
  status: string | null;
}

/** The address of the page after this one, from the header Link. */
export function nextOf(reply: Reply): string | undefined {
  return /<([^>]+)>; rel="next"/.exec(reply.headers.get('link') ?? '')?.[1];
}

/** What the firmware door does for the keys of one project. */
export class Door {
  constructor(
    private readonly api: TestApi,
    readonly project: TestProject,
  ) {}

  static async open(api: TestApi): Promise<Door> {
    return new Door(api, await api.project());
  }

  get at(): string {
    return `/firmware/${this.project.deviceId}`;
  }

  report(body: unknown, headers: Record<string, string> = {}, key = this.project.keys.device): Promise<Reply> {
    return this.api.call('POST', '/firmware', { key, body, headers });
  }

  update(body: unknown, headers: Record<string, string> = {}, key = this.project.keys.device): Promise<Reply> {
    return this.api.call('POST', this.at, { key, body, headers });
  }

  get(path: string, key = this.project.keys.analyst): Promise<Reply> {
    return this.api.call('GET', path, { key });
  }

  /** Stores an event and gives it. */
  async made(version: string, timestamp: string | number, status?: string): Promise<Event> {
    const reply = await this.update({ firmware: version, timestamp, ...(status === undefined ? {} : { status }) });
    if (reply.status !== 201) throw new Error(reply.text);
    return reply.json<Event>();
  }

  async events(): Promise<Event[]> {
    return (await this.get(`${this.at}?page_size=1000`)).json<Event[]>();
  }
}
