import { fork, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RECORDED } from '../harness/run.js';

/** The compiled product: `npm test` builds it first. */
export const MAIN = join(process.cwd(), 'dist/apps/cli/main.js');
const COMMANDS = join(process.cwd(), 'test/cli/commands.mjs');

/** The setting requires at least 32 characters. */
export const ADMIN_KEY = 'an admin key of the command line tests'.replaceAll(' ', '-');

export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface Running {
  child: ChildProcess;
  ended: Promise<Ended>;
  /** The output up to now. */
  output(): string;
  /** Resolves when standard output matches; rejects if the command ends before that. */
  prints(pattern: RegExp): Promise<RegExpExecArray>;
}

/** A folder with one installation. Commands run with an environment that has only these settings. */
export class Stowage {
  private readonly running: Running[] = [];
  /** The process that runs one command at a time. */
  private commands: ChildProcess | undefined;
  private last: Promise<unknown> = Promise.resolve();

  private constructor(
    readonly folder: string,
    private readonly settings: Record<string, string>,
    private readonly main: string,
    private readonly node: string,
  ) {}

  /**
   * @param main the program; default: that of this version
   * @param node the program that runs it; default: that of the tests
   */
  static async create(settings: Record<string, string> = {}, main = MAIN, node = process.execPath): Promise<Stowage> {
    return new Stowage(await mkdtemp(join(tmpdir(), 'stowage-cli-')), settings, main, node);
  }

  /** Runs a command that ends by itself, in a process that has already loaded the product. */
  run(args: readonly string[], settings: Record<string, string> = {}): Promise<Ended> {
    const ended = this.last.then(() => this.send({ args, env: this.environment(settings) }));
    this.last = ended;
    return ended;
  }

  private send(command: { args: readonly string[]; env: Record<string, string | undefined> }): Promise<Ended> {
    const commands = (this.commands ??= fork(COMMANDS, {
      cwd: this.folder,
      stdio: 'inherit',
      execArgv: RECORDED,
    }));
    return new Promise((resolve, reject) => {
      commands.removeAllListeners('message').once('message', resolve);
      commands.removeAllListeners('exit').once('exit', (code) => {
        reject(new Error(`the process of the commands ended with ${String(code)}`));
      });
      commands.send(command);
    });
  }

  /** Runs `serve` until the end of the tests. @returns its address */
  async serve(): Promise<string> {
    const [, url = ''] = await this.start(['serve']).prints(/Stowage is ready: (\S+)\/api\/v1\//);
    return url;
  }

  /** Runs a command in its own process. */
  start(args: readonly string[], settings: Record<string, string> = {}): Running {
    const env = this.environment(settings);
    // The lists of exceptions are those of this version.
    const options = this.main === MAIN ? RECORDED : [];
    const child = spawn(this.node, [...options, this.main, ...args], {
      cwd: this.folder,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    const ended = new Promise<Ended>((resolve) => {
      child.once('close', (code) => {
        resolve({ code, stdout, stderr });
      });
    });
    const prints = (pattern: RegExp): Promise<RegExpExecArray> =>
      new Promise((resolve, reject) => {
        const search = (): void => {
          const found = pattern.exec(stdout);
          if (found !== null) resolve(found);
        };
        search();
        child.stdout.on('data', search);
        void ended.then(({ code }) => {
          reject(new Error(`ended with ${String(code)} before it printed ${String(pattern)}: ${stdout}${stderr}`));
        });
      });
    const running = { child, ended, output: () => stdout + stderr, prints };
    this.running.push(running);
    return running;
  }

  private environment(settings: Record<string, string>): Record<string, string | undefined> {
    const defaults = {
      PORT: '0',
      LOG_LEVEL: 'silent',
      STOWAGE_SEED: 'false',
      STOWAGE_DATA_DIR: join(this.folder, 'data'),
    };
    return { PATH: process.env.PATH, ...defaults, ...this.settings, ...settings };
  }

  /** Stops the running commands and removes the folder. Does not resolve while a command that has ended keeps its process alive. */
  async remove(): Promise<void> {
    if (this.commands !== undefined) {
      const exited = once(this.commands, 'exit');
      this.commands.disconnect();
      await exited;
    }
    await Promise.all(
      this.running.map(async ({ child, ended }) => {
        if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
        await ended;
      }),
    );
    await rm(this.folder, { recursive: true, force: true });
  }
}
