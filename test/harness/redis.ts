import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

const START_WITHIN_MS = 10_000;

/** A redis-server that stores nothing on disk. */
export class TestRedis {
  private child: ChildProcess | undefined;

  private constructor(private readonly port: number) {}

  /** @throws Error where redis-server is not installed */
  static async start(): Promise<TestRedis> {
    const redis = new TestRedis(await freePort());
    await redis.run();
    return redis;
  }

  /** A port without a server, where `run` starts one later. */
  static async stopped(): Promise<TestRedis> {
    return new TestRedis(await freePort());
  }

  get url(): string {
    return `redis://127.0.0.1:${String(this.port)}`;
  }

  /** Starts the server, without data. */
  async run(): Promise<void> {
    const options = { '--port': String(this.port), '--bind': '127.0.0.1', '--save': '', '--appendonly': 'no' };
    const child = spawn('redis-server', Object.entries(options).flat(), { cwd: tmpdir(), stdio: 'ignore' });
    this.child = child;
    // Where the process of the test ends early.
    process.once('exit', () => child.kill('SIGKILL'));
    await new Promise((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', (cause) => {
        reject(new Error('redis-server is not installed; install it with `apt-get install redis-server`', { cause }));
      });
    });
    for (const end = Date.now() + START_WITHIN_MS; !(await this.responds());) {
      if (Date.now() > end || child.exitCode !== null) throw new Error('redis-server did not start');
      await sleep(20);
    }
  }

  /** Stops the process: it keeps its connections, and responds to nothing. */
  pause(): void {
    this.child?.kill('SIGSTOP');
  }

  resume(): void {
    this.child?.kill('SIGCONT');
  }

  async stop(): Promise<void> {
    const { child } = this;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }

  private async responds(): Promise<boolean> {
    const socket = connect(this.port, '127.0.0.1');
    try {
      socket.write('PING\r\n');
      const [reply] = (await once(socket, 'data')) as [Buffer];
      return reply.toString() === '+PONG\r\n';
    } catch {
      return false;
    } finally {
      socket.destroy();
    }
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
