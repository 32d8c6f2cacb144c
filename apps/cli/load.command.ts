import { Command, CommandRunner, Option } from 'nest-commander';
import { clientSettings } from './client-settings.js';
import { findSources } from './find-sources.js';
import { Loader, type LoadOptions } from './loader.js';
import { summarize } from './load-result.js';
import { printLine } from './output.js';
import { UsageError } from './usage-error.js';

/** After Ctrl-C, the time that files which are being sent get to finish. */
const FINISH_TIMEOUT_MS = 3_000;
const CONCURRENCY_MAX = 16;
const EXIT_REJECTED = 1;
/** The exit code of a shell for a command that SIGINT ended: 128 + 2. */
const EXIT_INTERRUPTED = 130;

const EXIT_CODES = `
Exit codes:
  0    everything is stored
  1    something was rejected; each error is a line on standard error and in the
       file of rejects
  2    the command or a setting is invalid, or the server cannot be reached or
       rejects the key (401 or 403)
  130  interrupted by Ctrl-C; run it again to continue`;

interface Options {
  url?: string;
  key?: string;
  batchId?: string;
  onConflict?: 'replace' | 'skip';
  partial?: boolean;
  dryRun?: boolean;
  async?: boolean;
  concurrency: number;
  rejects: string;
}

@Command({
  name: 'load',
  arguments: '<source...>',
  argsDescription: {
    source:
      'batch files and files of factories or sprockets (*.json, *.json.gz); NDJSON files (*.ndjson, *.jsonl, also with .gz ' +
      'or .zst); folders of these; patterns such as "data/**/*.ndjson.gz"; http:// and https:// URLs; ' +
      '- for NDJSON from standard input',
  },
  description: 'store batches, factories and sprockets; it can be run again safely',
})
export class LoadCommand extends CommandRunner {
  override setCommand(command: Parameters<CommandRunner['setCommand']>[0]): this {
    command.addHelpText('after', EXIT_CODES);
    return super.setCommand(command);
  }

  async run(args: string[], options: Options): Promise<void> {
    const { batchId, onConflict, concurrency, rejects } = options;
    const { partial = false, dryRun = false, async = false } = options;
    const flags = { isPartial: partial, isDryRun: dryRun, isAsync: async };
    const loading: LoadOptions = { ...flags, batchId, onConflict, concurrency, rejectsPath: rejects };
    const stop = new AbortController();
    const abort = new AbortController();
    // The handler stays registered, because npm may send a second SIGINT, which must not cut off the summary.
    process.on('SIGINT', () => {
      if (stop.signal.aborted) return;
      stop.abort();
      setTimeout(() => {
        abort.abort();
      }, FINISH_TIMEOUT_MS).unref();
    });
    const settings = await clientSettings(options);
    const sources = await findSources(args, rejects);
    await validateBatchId(batchId, args, sources.length);
    const result = await new Loader(sources, settings, loading, { stop: stop.signal, abort: abort.signal }).run();
    if (result.rejectsPath !== undefined) printLine(`rejects are in ${result.rejectsPath}`);
    printLine(summarize(result, loading));
    if (result.error !== undefined) throw result.error;
    if (stop.signal.aborted) process.exitCode = EXIT_INTERRUPTED;
    else if (result.rejected + result.objectsRejected > 0) process.exitCode = EXIT_REJECTED;
  }

  @Option({ flags: '--url <url>', description: 'the server (default: STOWAGE_URL, otherwise http://HOST:PORT)' })
  parseUrl(value: string): string {
    return value;
  }

  @Option({ flags: '--key <key>', description: 'the API key (default: STOWAGE_API_KEY, otherwise STOWAGE_ADMIN_KEY)' })
  parseKey(value: string): string {
    return value;
  }

  @Option({
    flags: '--batch-id <id>',
    description:
      'the batch_id of standard input or of one NDJSON file (default: the name of the file); a batch file keeps its own',
  })
  parseBatchId(value: string): string {
    return value;
  }

  @Option({
    flags: '--on-conflict <action>',
    description:
      'for a batch that exists with other content: replace it, or skip existing objects (default: reject the file)',
  })
  parseOnConflict(value: string): string {
    if (value === 'replace' || value === 'skip') return value;
    throw new UsageError(`--on-conflict must be replace or skip, not "${value}"`);
  }

  @Option({ flags: '--partial', description: 'store the valid objects of a batch and reject only the others' })
  parsePartial(): boolean {
    return true;
  }

  @Option({ flags: '--dry-run', description: 'report what would happen, and store nothing' })
  parseDryRun(): boolean {
    return true;
  }

  @Option({ flags: '--async', description: 'have the server store each batch as a job, and wait for the jobs' })
  parseAsync(): boolean {
    return true;
  }

  @Option({
    flags: '--concurrency <number>',
    description: `files sent at a time, 1 to ${String(CONCURRENCY_MAX)}`,
    defaultValue: 2,
  })
  parseConcurrency(value: string): number {
    const number = /^\d{1,2}$/.test(value) ? Number(value) : 0;
    if (number >= 1 && number <= CONCURRENCY_MAX) return number;
    throw new UsageError(`--concurrency must be a whole number from 1 to ${String(CONCURRENCY_MAX)}, not "${value}"`);
  }

  @Option({
    flags: '--rejects <file>',
    description: 'the file for rejected objects and files, one JSON line each',
    defaultValue: 'rejects.ndjson',
  })
  parseRejects(value: string): string {
    return value;
  }
}

async function validateBatchId(batchId: string | undefined, args: readonly string[], count: number): Promise<void> {
  if (batchId !== undefined) {
    const { ID_RULE, isId } = await import('#platform');
    if (!isId(batchId)) throw new UsageError(`--batch-id ${ID_RULE}`);
    if (count > 1) throw new UsageError(`--batch-id is for one file; got ${String(count)}`);
  } else if (args.includes('-')) {
    throw new UsageError('standard input has no name: use --batch-id');
  }
}
