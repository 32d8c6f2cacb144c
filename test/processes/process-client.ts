import { Agent, request } from 'node:http';

export interface Answer {
  status: number;
  headers: NodeJS.Dict<string | string[]>;
  text: string;
}

/** Sends requests over one connection, and so to one process of the server. */
export class ProcessClient {
  private readonly agent = new Agent({ keepAlive: true, maxSockets: 1 });

  constructor(private readonly url: string) {}

  /** The beginning of its request ids, which each process chooses when it starts. */
  async processName(): Promise<string> {
    const { headers } = await this.call('GET', '/health/live');
    return String(headers['x-request-id']).split('-')[0] ?? '';
  }

  call(method: string, path: string, key?: string, body?: object): Promise<Answer> {
    const text = body === undefined ? '' : JSON.stringify(body);
    const headers = {
      ...(key !== undefined && { 'X-Api-Key': key }),
      ...(body !== undefined && { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) }),
    };
    return new Promise((resolve, reject) => {
      const sent = request(`${this.url}${path}`, { method, headers, agent: this.agent }, (response) => {
        let received = '';
        response.setEncoding('utf8').on('data', (chunk: string) => (received += chunk));
        response.on('end', () => {
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text: received });
        });
        response.on('error', reject);
      });
      sent.on('error', reject).end(text);
    });
  }

  close(): void {
    this.agent.destroy();
  }
}

/** Connects to every process of a server. @returns a client for each */
export async function connectToAll(url: string, processes: number): Promise<ProcessClient[]> {
  const byName = new Map<string, ProcessClient>();
  for (let tries = 0; byName.size < processes; tries++) {
    if (tries > 100) throw new Error(`only ${String(byName.size)} processes respond`);
    const client = new ProcessClient(url);
    const name = await client.processName();
    if (byName.has(name)) client.close();
    else byName.set(name, client);
  }
  return [...byName.values()];
}
