import { Command, CommandRunner, Option } from 'nest-commander';
import { clientSettings } from './client-settings.js';
import { findSources } from './find-sources.js';
import { Loader, type LoadOptions } from './loader.js';
import { summaryOf } from './load-result.js';
import { printLine } from './output.js';
import { UsageError } from './usage-error.js';

/** How long the files under way may take to finish after Ctrl-C. */
const FINISH_WITHIN_MS = 3_000;
const CONCURRENCY_MAX = 16;
const REJECTED = 1;
/** What a shell shows for a command that Ctrl-C ended: 128 + SIGINT. */
const INTERRUPTED = 130;

const EXIT_CODES = `
Exit codes:
  0    everything is stored, or was there already
  1    something was rejected; each mistake is a line on standard error and in
       the file of rejects
  2    the command or a setting is wrong, or the server cannot be reached
  130  ended by Ctrl-C; run it again to go on`;

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
  arguments: '<place...>',
  argsDescription: {
    place:
      'batch files (*.json) and files of factories or sprockets, also compressed (.gz); NDJSON files (*.ndjson, *.jsonl), also compressed (.gz, .zst); ' +
      'folders of them; patterns such as "data/**/*.ndjson.gz"; http:// and https:// URLs; ' +
      '- for NDJSON from standard input',
  },
  description: 'store batches, factories and sprockets, each of them once',
})
export class LoadCommand extends CommandRunner {
  override setCommand(command: Parameters<CommandRunner['setCommand']>[0]): this {
    command.addHelpText('after', EXIT_CODES);
    return super.setCommand(command);
  }

  async run(places: string[], options: Options): Promise<void> {
    const { batchId, onConflict, concurrency, rejects } = options;
    const { partial = false, dryRun = false, async = false } = options;
    const flags = { isPartial: partial, isDryRun: dryRun, isAsync: async };
    const loading: LoadOptions = { ...flags, batchId, onConflict, concurrency, rejectsPath: rejects };
    const stop = new AbortController();
    const cut = new AbortController();
    // Stays registered: the shell and npm may both send it, and the second must not cut the summary off.
    process.on('SIGINT', () => {
      if (stop.signal.aborted) return;
      stop.abort();
      setTimeout(() => {
        cut.abort();
      }, FINISH_WITHIN_MS).unref();
    });
    const settings = await clientSettings(options);
    const sources = await findSources(places, rejects);
    await checkBatchId(batchId, places, sources.length);
    const result = await new Loader(sources, settings, loading, { stop: stop.signal, cut: cut.signal }).run();
    if (result.rejectsPath !== undefined) printLine(`what was rejected is in ${result.rejectsPath}`);
    printLine(summaryOf(result, loading));
    if (result.error !== undefined) throw result.error;
    if (stop.signal.aborted) process.exitCode = INTERRUPTED;
    else if (result.rejected + result.objectsRejected > 0) process.exitCode = REJECTED;
  }

  @Option({ flags: '--url <url>', description: 'the server (default: STOWAGE_URL, or else http://HOST:PORT)' })
  parseUrl(value: string): string {
    return value;
  }

  @Option({ flags: '--key <key>', description: 'the API key (default: STOWAGE_API_KEY, or else STOWAGE_ADMIN_KEY)' })
  parseKey(value: string): string {
    return value;
  }

  @Option({
    flags: '--batch-id <id>',
    description:
      "the batch's id, for one file or standard input (default: the batch file's own, or an NDJSON file's name)",
  })
  parseBatchId(value: string): string {
    return value;
  }

  @Option({
    flags: '--on-conflict <what>',
    description:
      'for a batch that exists with other content: replace it, or skip the objects that exist (default: reject)',
  })
  parseOnConflict(value: string): string {
    if (value === 'replace' || value === 'skip') return value;
    throw new UsageError(`--on-conflict must be replace or skip, not "${value}"`);
  }

  @Option({ flags: '--partial', description: 'store the good objects of a batch, and reject the others alone' })
  parsePartial(): boolean {
    return true;
  }

  @Option({ flags: '--dry-run', description: 'tell what would happen, and store nothing' })
  parseDryRun(): boolean {
    return true;
  }

  @Option({ flags: '--async', description: 'let the server store each batch as a job, and wait for the jobs' })
  parseAsync(): boolean {
    return true;
  }

  @Option({
    flags: '--concurrency <number>',
    description: `how many files are sent at a time, 1 to ${String(CONCURRENCY_MAX)}`,
    defaultValue: 2,
  })
  parseConcurrency(value: string): number {
    const number = /^\d{1,2}$/.test(value) ? Number(value) : 0;
    if (number >= 1 && number <= CONCURRENCY_MAX) return number;
    throw new UsageError(`--concurrency must be a whole number from 1 to ${String(CONCURRENCY_MAX)}, not "${value}"`);
  }

  @Option({
    flags: '--rejects <file>',
    description: 'where what is rejected is written, one JSON line each',
    defaultValue: 'rejects.ndjson',
  })
  parseRejects(value: string): string {
    return value;
  }
}

async function checkBatchId(batchId: string | undefined, places: readonly string[], count: number): Promise<void> {
  if (batchId !== undefined) {
    const { ID_RULE, isId } = await import('#platform');
    if (!isId(batchId)) throw new UsageError(`--batch-id ${ID_RULE}`);
    if (count > 1) throw new UsageError(`--batch-id is for one file, and these are ${String(count)}`);
  } else if (places.includes('-')) {
    throw new UsageError('standard input has no name: give --batch-id');
  }
}
