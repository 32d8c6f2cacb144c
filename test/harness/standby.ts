import { execFile } from 'node:child_process';
import { appendFile, chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { startEmbeddedPostgres, type PostgresAddress } from '#database';
import { addressOfEmbedded } from './embedded.js';
import { Tables } from './tables.js';

type Server = Awaited<ReturnType<typeof startEmbeddedPostgres>>;

/** No data outlives the spec. */
const SETTINGS = { fsync: 'off', shared_buffers: '32MB' };
/** A replica must replay at once, and end the statements that conflict with that. */
const STANDBY_SETTINGS = { ...SETTINGS, max_standby_streaming_delay: '0' };

/** A server of its own, with an empty database, and a standby that streams from it. */
export class PrimaryAndStandby {
  private constructor(
    private readonly folder: string,
    private readonly primaryServer: Server,
    private standbyServer: Server | null,
    readonly primary: Tables,
    /** The role postgres on the standby, which may pause the replay. */
    readonly standby: Tables,
  ) {}

  /** The standby is a copy of the files of the stopped primary: the embedded PostgreSQL has no pg_basebackup. */
  static async start(): Promise<PrimaryAndStandby> {
    const folder = await mkdtemp(join(tmpdir(), 'stowage-standby-'));
    // As in test/global-setup.mjs.
    await chmod(folder, 0o755);
    const [primaryDir, standbyDir] = [join(folder, 'primary'), join(folder, 'standby')];
    const created = await start(primaryDir);
    await created.stop();
    await appendFile(join(primaryDir, 'pg_hba.conf'), 'local replication postgres scram-sha-256\n');
    const copy = promisify(execFile);
    await copy('cp', ['-pR', primaryDir, standbyDir]);
    await copy('cp', ['-pR', `${primaryDir}.pgpass`, `${standbyDir}.pgpass`]);
    const server = await start(primaryDir);
    const { host, port, user, password } = await addressOfEmbedded(primaryDir, 'postgres');
    const primaryAt = `host=${host} port=${String(port)} user=${user} password=${password}`;
    await writeFile(join(standbyDir, 'standby.signal'), '');
    await appendFile(join(standbyDir, 'postgresql.conf'), `primary_conninfo = '${primaryAt}'\n`);
    const standbyServer = await start(standbyDir, STANDBY_SETTINGS);
    const admin = new Tables(await addressOfEmbedded(standbyDir, 'postgres'));
    return new PrimaryAndStandby(folder, server, standbyServer, new Tables(server.address), admin);
  }

  /** The address of the standby for the product's role. */
  get standbyAddress(): PostgresAddress {
    return { ...this.primary.address, host: this.standby.address.host };
  }

  async startStandby(): Promise<void> {
    this.standbyServer = await start(join(this.folder, 'standby'), STANDBY_SETTINGS);
  }

  async stopStandby(): Promise<void> {
    await this.standbyServer?.stop();
    this.standbyServer = null;
  }

  async stop(): Promise<void> {
    await Promise.all([this.primary.close(), this.standby.close()]);
    await this.stopStandby();
    await this.primaryServer.stop();
    await rm(this.folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

function start(dataDir: string, settings = SETTINGS): Promise<Server> {
  return startEmbeddedPostgres({ dataDir, say: () => undefined, settings });
}
