import { Command, CommandRunner, Option } from 'nest-commander';
import type { DocumentOptions } from './document-lines.js';
import { clientSettings } from './client-settings.js';
import { findSources } from './find-sources.js';
import type { LoadOptions } from './loader.js';
import { describeRejects, summarize } from './load-result.js';
import { printLine } from './output.js';
import { StopSignals } from './stop-signals.js';
import { UsageError } from './usage-error.js';

/** After a signal, the time that files which are being sent get to finish. */
const FINISH_TIMEOUT_MS = 3_000;
const CONCURRENCY_MAX = 16;
/** Such a batch is in memory while it is sent. */
const BATCH_SIZE_MAX = 100_000;
/** More lines before the rows are a mistake. */
const SKIPPED_LINE_MAX = 10_000;
const EXIT_REJECTED = 1;

const EXIT_CODES = `
Exit codes:
  0    everything is stored
  1    something was rejected; each error is a line on standard error and in the
       file of rejects
  2    the command or a setting is invalid, or the server cannot be reached or
       rejects the key (401 or 403)
  130  interrupted by Ctrl-C, 143 by SIGTERM; run it again to continue`;

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
  format?: 'csv' | 'documents';
  id?: string;
  subject?: string;
  observedAt?: string;
  timeFormat?: string;
  timeZone?: string;
  flatten?: boolean;
  types?: 'text';
  delimiter?: string;
  skipLines?: ReadonlySet<number>;
  batchSize?: number;
}

@Command({
  name: 'load',
  arguments: '<source...>',
  argsDescription: {
    source:
      'batch files and files of factories or sprockets (*.json, *.json.gz); NDJSON files (*.ndjson, *.jsonl, also with .gz ' +
      'or .zst); CSV (*.csv, *.tsv), lists of JSON objects, GeoJSON and lines of mongoexport, also with .gz; folders of ' +
      'these; patterns such as "data/**/*.ndjson.gz"; http:// and https:// URLs; - for standard input',
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
    const documents = documentOptions(options);
    const { batchSize } = options;
    const loading: LoadOptions = {
      ...flags,
      batchId,
      onConflict,
      concurrency,
      rejectsPath: rejects,
      documents,
      batchSize,
    };
    const stop = new StopSignals();
    const abort = new AbortController();
    stop.signal.addEventListener('abort', () => {
      setTimeout(() => {
        abort.abort();
      }, FINISH_TIMEOUT_MS).unref();
    });
    // Only now, because they load the parsers, which other commands and --help do not need.
    const [{ Loader }, { ObjectMapping }] = await Promise.all([import('./loader.js'), import('./object-mapping.js')]);
    // Rejects an invalid format or zone before anything is sent.
    new ObjectMapping(documents, '');
    const settings = await clientSettings(options);
    const sources = await findSources(args, rejects);
    await validateBatchId(batchId, args, sources.length);
    const result = await new Loader(sources, settings, loading, { stop: stop.signal, abort: abort.signal }).run();
    if (result.rejectsPath !== undefined) printLine(describeRejects(result.rejectsPath, result.errorsUnlisted));
    printLine(summarize(result, loading));
    if (result.error !== undefined) throw result.error;
    if (stop.signal.aborted) process.exitCode = stop.exitCode;
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

  @Option({
    flags: '--id <name>',
    description: 'the column, or the member or dotted path, that is the id of each object (default: its position)',
  })
  parseId(value: string): string {
    return value;
  }

  @Option({ flags: '--subject <name>', description: 'the same for the subject' })
  parseSubject(value: string): string {
    return value;
  }

  @Option({ flags: '--observed-at <name>', description: 'the same for the time' })
  parseObservedAt(value: string): string {
    return value;
  }

  @Option({
    flags: '--time-format <format>',
    description:
      'how the times are written: iso (the zone may be missing), s, ms, us or ns since 1970, or a pattern such as ' +
      '"dd.MM.yyyy HH:mm:ss" (default: RFC 3339)',
  })
  parseTimeFormat(value: string): string {
    return value;
  }

  @Option({
    flags: '--time-zone <zone>',
    description: 'the zone of times without one, such as Europe/Berlin or +02:00 (default: UTC)',
  })
  parseTimeZone(value: string): string {
    return value;
  }

  @Option({ flags: '--flatten', description: 'store nested JSON objects as keys with dots' })
  parseFlatten(): boolean {
    return true;
  }

  @Option({ flags: '--types <types>', description: 'text: store every cell of CSV as text' })
  parseTypes(value: string): string {
    if (value === 'text') return value;
    throw new UsageError(`--types must be text, not "${value}"`);
  }

  @Option({
    flags: '--delimiter <character>',
    description: 'between the cells of CSV: a character, or tab (default: the one the header has most often)',
  })
  parseDelimiter(value: string): string {
    if (value === 'tab') return '\t';
    if (value.length === 1 && value !== '"') return value;
    throw new UsageError(`--delimiter must be a character or tab, not "${value}"`);
  }

  @Option({
    flags: '--skip-lines <lines>',
    description: 'lines of CSV that are neither the header nor rows, such as 1,3-4',
  })
  parseSkipLines(value: string): ReadonlySet<number> {
    return linesIn(value);
  }

  @Option({
    flags: '--batch-size <number>',
    description: `store each file in batches of this many objects, 1 to ${BATCH_SIZE_MAX.toLocaleString('en')}; an interrupted load continues`,
  })
  parseBatchSize(value: string): number {
    const number = /^\d{1,6}$/.test(value) ? Number(value) : 0;
    if (number >= 1 && number <= BATCH_SIZE_MAX) return number;
    const limit = BATCH_SIZE_MAX.toLocaleString('en');
    throw new UsageError(`--batch-size must be a whole number from 1 to ${limit}, not "${value}"`);
  }

  @Option({
    flags: '--format <format>',
    description: 'csv or documents (JSON objects of any kind), where the name and the content of a file do not show it',
  })
  parseFormat(value: string): string {
    if (value === 'csv' || value === 'documents') return value;
    throw new UsageError(`--format must be csv or documents, not "${value}"`);
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

function documentOptions(options: Options): DocumentOptions {
  const { format, id, subject, observedAt, timeFormat, timeZone, flatten, types, delimiter, skipLines } = options;
  const names = { format, id, subject, observedAt, timeFormat, timeZone, delimiter };
  return { ...names, isFlat: flatten ?? false, isTyped: types === undefined, skippedLines: skipLines ?? new Set() };
}

/** @param text numbers and ranges, such as 1,3-4 @throws UsageError */
function linesIn(text: string): ReadonlySet<number> {
  const lines = new Set<number>();
  for (const part of text.split(',')) {
    const [, first, last = first] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part) ?? [];
    if (first === undefined || Number(first) < 1 || Number(last) > SKIPPED_LINE_MAX) {
      throw new UsageError(`--skip-lines must be numbers of lines such as 1,3-4, not "${text}"`);
    }
    for (let line = Number(first); line <= Number(last); line++) lines.add(line);
  }
  return lines;
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
