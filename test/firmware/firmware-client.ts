import type { Reply, TestApi, TestProject } from '../harness/api.js';

/** A firmware event in the JSON format of the API. */
export interface Event {
  id: string;
  device_id: string;
  version: string;
  timestamp: string;
  status: string | null;
}

/** Returns the URL of the next page from the Link header. */
export function nextLink(reply: Reply): string | undefined {
  return /<([^>]+)>; rel="next"/.exec(reply.headers.get('link') ?? '')?.[1];
}

/** A client of the firmware feed, with the keys of one project. */
export class FirmwareClient {
  constructor(
    private readonly api: TestApi,
    readonly project: TestProject,
  ) {}

  static async create(api: TestApi): Promise<FirmwareClient> {
    return new FirmwareClient(api, await api.project());
  }

  get path(): string {
    return `/firmware/${this.project.deviceId}`;
  }

  report(body: unknown, headers: Record<string, string> = {}, key = this.project.keys.device): Promise<Reply> {
    return this.api.call('POST', '/firmware', { key, body, headers });
  }

  update(body: unknown, headers: Record<string, string> = {}, key = this.project.keys.device): Promise<Reply> {
    return this.api.call('POST', this.path, { key, body, headers });
  }

  get(path: string, key = this.project.keys.analyst): Promise<Reply> {
    return this.api.call('GET', path, { key });
  }

  /** Stores an event and returns it. Throws unless the response is 201. */
  async store(version: string, timestamp: string | number, status?: string): Promise<Event> {
    const reply = await this.update({ firmware: version, timestamp, ...(status === undefined ? {} : { status }) });
    if (reply.status !== 201) throw new Error(reply.text);
    return reply.json<Event>();
  }

  async listEvents(): Promise<Event[]> {
    return (await this.get(`${this.path}?page_size=1000`)).json<Event[]>();
  }
}
