import { createWriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import * as zlib from 'node:zlib';
import { Command, CommandRunner, Option } from 'nest-commander';
import { findOutputPath, partPathOf, publishPart, removeOldParts } from '#platform';
import { ApiClient } from './api-client.js';
import { clientSettings } from './client-settings.js';
import { ExportDigest } from './export-digest.js';
import { formatBytes, formatCount, perSecond } from './load-meter.js';
import { reasonOf } from './load-source.js';
import { printLine, printMessage } from './output.js';
import { Progress, type ProgressFigures } from './progress.js';
import { runUntilStopped } from './stop-signals.js';
import { UsageError } from './usage-error.js';

const FORMATS = ['ndjson', 'csv', 'parquet'] as const;
type Format = (typeof FORMATS)[number];

/** `node:zlib` has it since Node.js 22.15; its declared types are those of the oldest supported version. */
const { createZstdDecompress } = zlib as typeof zlib & { createZstdDecompress?: () => Transform };

/** By content coding, preferred first: zstd takes half of the server's processor time of gzip. */
const DECOMPRESSORS = new Map<string, () => Transform>();
if (createZstdDecompress !== undefined) DECOMPRESSORS.set('zstd', createZstdDecompress);
DECOMPRESSORS.set('gzip', zlib.createGunzip);

const EXIT_FAILED = 1;

const EXIT_CODES = `
Examples:
  stowage export --output shoes.ndjson 'data={"type":"shoe"}' observed_from=2026-01-01T00:00:00Z
  stowage export --format csv safe=true sort=-data.size fields=object_id,data.size

Exit codes:
  0    the file is complete: its number of objects and its SHA-256 are those
       that the server sent
  1    the export is incomplete, or the file cannot be written, such as a
       folder, a FIFO or a device; no file is written, and an existing one is
       kept
  2    the command or a setting is invalid, or the server cannot be reached or
       rejects the request
  130  interrupted by Ctrl-C, 143 by SIGTERM; no file is written

Until it is whole, the file has a name that ends with .part. One that a killed
export has left is removed by the next export to the same file, after a day.`;

interface Options {
  url?: string;
  key?: string;
  format?: Format;
  output?: string;
}

@Command({
  name: 'export',
  arguments: '[parameters...]',
  argsDescription: {
    parameters: 'filters, fields, data_as and sort of GET /objects/export, such as batch_id=shoes or sort=-data.size',
  },
  description: 'write all objects that match to a file, which load stores again',
})
export class ExportCommand extends CommandRunner {
  override setCommand(command: Parameters<CommandRunner['setCommand']>[0]): this {
    command.addHelpText('after', EXIT_CODES);
    return super.setCommand(command);
  }

  async run(parameters: string[], options: Options): Promise<void> {
    const { format = 'ndjson' } = options;
    const { output = `objects.${format}` } = options;
    const query = queryOf(parameters);
    await runUntilStopped('no file was written', async (signal) => {
      const path = await findOutputPath(output);
      const client = new ApiClient(await clientSettings(options), printMessage);
      const total = await countOf(client, query, signal);
      query.set('format', format);
      const fault = await receive(client, query, { format, output, path, total }, signal);
      if (fault === undefined) return;
      printMessage(`${output}: the export is not whole: ${fault}; run the command again`);
      process.exitCode = EXIT_FAILED;
    });
  }

  @Option({ flags: '--url <url>', description: 'the server (default: STOWAGE_URL, otherwise http://HOST:PORT)' })
  parseUrl(value: string): string {
    return value;
  }

  @Option({ flags: '--key <key>', description: 'the API key (default: STOWAGE_API_KEY, otherwise STOWAGE_ADMIN_KEY)' })
  parseKey(value: string): string {
    return value;
  }

  @Option({ flags: '--format <format>', description: 'ndjson, csv or parquet (default: ndjson)' })
  parseFormat(value: string): Format {
    const format = FORMATS.find((one) => one === value);
    if (format === undefined) throw new UsageError(`--format must be ${FORMATS.join(', ')}, not "${value}"`);
    return format;
  }

  @Option({
    flags: '--output <file>',
    description: 'the file, which is replaced when the export is whole (default: objects.<format>)',
  })
  parseOutput(value: string): string {
    if (value === '-')
      throw new UsageError('--output must be a file: an incomplete export could not be removed from standard output');
    return value;
  }
}

function queryOf(parameters: readonly string[]): URLSearchParams {
  const query = new URLSearchParams();
  for (const parameter of parameters) {
    const at = parameter.indexOf('=');
    if (at < 1) throw new UsageError(`a parameter must be name=value, not "${parameter}"`);
    query.append(parameter.slice(0, at), parameter.slice(at + 1));
  }
  if (query.has('format')) throw new UsageError('use --format');
  return query;
}

/** The approximate number of objects, for the bar; undefined where the server does not return it. */
async function countOf(client: ApiClient, query: URLSearchParams, signal: AbortSignal): Promise<number | undefined> {
  const list = new URLSearchParams(query);
  for (const name of ['safe', 'sort', 'fields', 'data_as']) list.delete(name);
  list.set('page_size', '1');
  list.set('count', 'estimated');
  const path = `/objects?${list.toString()}`;
  return (await client.send<{ count: number }>({ method: 'GET', path }, signal)).body.count;
}

interface Target {
  format: Format;
  /** The file as the user names it. */
  output: string;
  /** Of `findOutputPath`. */
  path: string;
  total: number | undefined;
}

/** Receives the export into a temporary file beside the output. @returns what is missing; undefined where the export is whole */
async function receive(
  client: ApiClient,
  query: URLSearchParams,
  { format, output, path, total }: Target,
  signal: AbortSignal,
): Promise<string | undefined> {
  const headers = { Accept: '*/*', 'Accept-Encoding': [...DECOMPRESSORS.keys()].join(', ') };
  const request = { method: 'GET', path: `/objects/export?${query.toString()}`, headers, isStreamed: true } as const;
  const response = await client.send(request, signal);
  const { stream } = response;
  if (stream === undefined) throw client.toUsageError(response);
  const digest = new ExportDigest(format === 'ndjson');
  const counter = new Transform({
    transform(chunk: Buffer, _encoding, done): void {
      digest.add(chunk);
      done(null, chunk);
    },
  });
  await removeOldParts(path);
  const part = partPathOf(path);
  const progress = new Progress((elapsedMs) => figuresOf(digest, total, elapsedMs));
  try {
    const decompressor = DECOMPRESSORS.get(stream.headers['content-encoding'] ?? '');
    const content = decompressor === undefined ? [] : [decompressor()];
    await pipeline([stream, ...content, counter, createWriteStream(part, { flags: 'wx', flush: true })]);
    progress.end();
    const { count, fault } = digest.check(stream);
    if (fault !== undefined) return fault;
    await publishPart(part, path);
    const seconds = (progress.elapsedMs / 1000).toFixed(1);
    const rate = `${seconds} s, ${perSecond(count, progress.elapsedMs)} objects/s`;
    printLine(`exported ${formatCount(count)} objects (${formatBytes(digest.sizeBytes)}) to ${output} (${rate})`);
    return undefined;
  } catch (error) {
    signal.throwIfAborted();
    return `after ${formatBytes(digest.sizeBytes)}: ${reasonOf(error)}`;
  } finally {
    progress.end();
    await rm(part, { force: true });
  }
}

/** @param total the approximate number of objects; undefined where it is unknown */
function figuresOf(
  { lineCount, sizeBytes }: ExportDigest,
  total: number | undefined,
  elapsedMs: number,
): ProgressFigures {
  const ofTotal = total === undefined ? '' : ` of ${formatCount(total)}`;
  // The objects of a table are not counted.
  const objects = [`${formatCount(lineCount)}${ofTotal} objects`, `${perSecond(lineCount, elapsedMs)} objects/s`];
  const text = [...(lineCount === 0 ? [] : objects), formatBytes(sizeBytes)].join(', ');
  return { fraction: total === undefined ? 0 : lineCount / Math.max(total, 1), text };
}
