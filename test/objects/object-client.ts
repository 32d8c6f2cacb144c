import type { Reply, TestApi, TestProject } from '../harness/api.js';
import { postBatch } from './wire.js';

/** A client of one project that creates, reads and patches objects of a batch. */
export class ObjectClient {
  private created = 0;

  private constructor(
    private readonly api: TestApi,
    readonly project: TestProject,
    private readonly patchType: string,
  ) {}

  /** @param patchType the media type of its patches */
  static async create(api: TestApi, patchType: string): Promise<ObjectClient> {
    const project = await api.project();
    await postBatch(api, project.keys.producer, 'shoes', []);
    return new ObjectClient(api, project, patchType);
  }

  /** Creates an object. @param data JSON text @param rest further members, with a comma before each. @returns its id */
  async createObject(data: string, rest = ''): Promise<string> {
    const id = `object-${String(this.created++)}`;
    const body = `{"batch_id":"shoes","object_id":"${id}","data":${data}${rest}}`;
    const reply = await this.api.call('POST', '/objects', { key: this.project.keys.producer, body });
    if (reply.status !== 201) throw new Error(reply.text);
    return id;
  }

  read(id: string): Promise<Reply> {
    return this.api.call('GET', `/objects/${id}`, { key: this.project.keys.analyst });
  }

  patch(id: string, body: unknown, headers = {}, key = this.project.keys.admin): Promise<Reply> {
    return this.api.call('PATCH', `/objects/${id}`, {
      key,
      body,
      headers: { 'Content-Type': this.patchType, ...headers },
    });
  }
}

/** The `data` of a response, as text without spaces. */
export const dataOf = (reply: Reply): string =>
  (/"data":(.*)\}$/.exec(reply.text)?.[1] ?? reply.text).replaceAll(/(?<=[:,]) /g, '');
