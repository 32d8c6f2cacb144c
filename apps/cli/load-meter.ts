/** How far a load is, as counted by the loader. */
export interface LoadCounters {
  files: number;
  filesDone: number;
  /** The size of all files together, without those whose size is unknown. */
  bytesTotal: number;
  /** The number of files whose size is unknown and that are not done: downloads and standard input. */
  filesOfUnknownSize: number;
  /** The size of the files that are done, as far as it is known. */
  bytesDone: number;
  /** Bytes read from files of unknown size that are done. */
  unsizedBytesDone: number;
  /** Objects that the server has confirmed. */
  objectsDone: number;
  /** Objects of the files that are done, confirmed or rejected. */
  objectsReadDone: number;
  /** The files that are being sent. */
  active: ReadonlySet<{
    /** undefined when it is unknown. */
    readonly sizeBytes: number | undefined;
    readonly bytesRead: number;
    /** 0 when they cannot be counted. */
    readonly objectsRead: number;
  }>;
}

/** The state of a load as a person reads it. */
export interface LoadFigures {
  /** From 0 to 1, by bytes; undefined when the size of a file is unknown. */
  fraction: number | undefined;
  bytes: string;
  objects: string;
  rate: string;
  left: string;
  files: string;
}

/** The rate is the average of this time: long enough to smooth the server's pauses, short enough to follow its speed. */
const WINDOW_MS = 10_000;
/** A rate of a shorter time is not shown. */
const EVIDENCE_MS = 2_000;
/** The first bytes only fill buffers, faster than the server stores them. */
const WARM_UP_MS = 1_000;

interface Sample {
  atMs: number;
  bytes: number;
  objects: number;
}

interface Rates {
  bytesPerMs: number;
  objectsPerMs: number;
}

/** Computes rates and the time left from counters that are sampled regularly. */
export class LoadMeter {
  private readonly samples: Sample[] = [];

  /**
   * @param startMs the time of the start, on the clock of `sample`
   * @param verb what the server does with objects: a dry run only checks them
   */
  constructor(
    private readonly counters: Readonly<LoadCounters>,
    private readonly startMs: number,
    private readonly verb: 'stored' | 'checked',
  ) {}

  /** Samples the counters. @param nowMs the time in ms; it does not decrease */
  sample(nowMs: number): LoadFigures {
    const { files, filesDone, bytesTotal, bytesDone, filesOfUnknownSize, unsizedBytesDone, objectsDone } =
      this.counters;
    const active = [...this.counters.active];
    // A file may have grown after its size was read.
    const sizedBytes = active.reduce((sum, file) => sum + Math.min(file.bytesRead, file.sizeBytes ?? 0), bytesDone);
    const unsizedBytes = active.reduce(
      (sum, file) => sum + (file.sizeBytes === undefined ? file.bytesRead : 0),
      unsizedBytesDone,
    );
    const objectsInTransit = active.reduce((sum, { objectsRead }) => sum + objectsRead, 0);
    const objects = this.counters.objectsReadDone + objectsInTransit;
    const sample = { atMs: nowMs, bytes: sizedBytes + unsizedBytes, objects };
    this.add(sample);

    const isSizeKnown = filesOfUnknownSize === 0;
    const isDone = filesDone === files;
    const rates = isDone ? averageOf({ atMs: this.startMs, bytes: 0, objects: 0 }, sample) : this.recentRates();
    const isAllRead = isSizeKnown && sizedBytes === bytesTotal;
    const leftMs = isSizeKnown && rates !== undefined ? (bytesTotal - sizedBytes) / rates.bytesPerMs : Infinity;
    return {
      fraction: !isSizeKnown ? undefined : bytesTotal === 0 ? 1 : sizedBytes / bytesTotal,
      bytes: isSizeKnown ? formatBytesOf(sample.bytes, bytesTotal) : `${formatBytes(sample.bytes)} read`,
      objects:
        objectsInTransit > 0
          ? `${formatCount(objectsDone)} objects ${this.verb}, ${formatCount(objectsInTransit)} sent`
          : `${formatCount(objectsDone)} objects ${this.verb}`,
      rate: formatRate(rates),
      left: isDone
        ? 'done'
        : isAllRead && active.length > 0
          ? 'waiting for the server'
          : Number.isFinite(leftMs)
            ? `${formatDuration(leftMs)} left`
            : 'time left unknown',
      files: `${formatCount(filesDone)} of ${formatCount(files)} files`,
    };
  }

  private add(sample: Sample): void {
    if (sample.atMs - this.startMs < WARM_UP_MS) return;
    const last = this.samples.at(-1);
    // A file is sent again from its beginning: what was measured before is no progress.
    if (last !== undefined && sample.bytes < last.bytes) this.samples.length = 0;
    this.samples.push(sample);
    // One sample outside of the window stays, so that the rest covers all of it.
    while ((this.samples[1]?.atMs ?? Infinity) <= sample.atMs - WINDOW_MS) this.samples.shift();
  }

  /** The average of the samples; undefined while they cover less than EVIDENCE_MS. */
  private recentRates(): Rates | undefined {
    const [first] = this.samples;
    const last = this.samples.at(-1);
    if (first === undefined || last === undefined || last.atMs - first.atMs < EVIDENCE_MS) return undefined;
    return averageOf(first, last);
  }
}

function averageOf(first: Sample, last: Sample): Rates {
  const ms = Math.max(1, last.atMs - first.atMs);
  return {
    bytesPerMs: (last.bytes - first.bytes) / ms,
    objectsPerMs: Math.max(0, last.objects - first.objects) / ms,
  };
}

/** In bytes where objects cannot be counted. */
function formatRate(rates: Rates | undefined): string {
  if (rates === undefined) return 'rate unknown';
  if (rates.objectsPerMs > 0 || rates.bytesPerMs === 0) return `${perSecond(rates.objectsPerMs, 1)} objects/s`;
  return `${formatBytes(rates.bytesPerMs * 1000)}/s`;
}

/** Objects per second, rounded, with thousands separators. */
export function perSecond(objects: number, ms: number): string {
  return formatCount(Math.round((objects * 1000) / Math.max(ms, 1)));
}

export function formatCount(count: number): string {
  return count.toLocaleString('en');
}

/** Both numbers in the unit of the total, such as `0.2 of 1.0 MB`. */
function formatBytesOf(bytes: number, total: number): string {
  const { name, size, digits } = byteUnitOf(total);
  return `${(bytes / size).toFixed(digits)} of ${(total / size).toFixed(digits)} ${name}`;
}

export function formatBytes(bytes: number): string {
  const { name, size, digits } = byteUnitOf(bytes);
  return `${(bytes / size).toFixed(digits)} ${name}`;
}

function byteUnitOf(bytes: number): { name: string; size: number; digits: number } {
  if (bytes < 1e6) return { name: 'kB', size: 1e3, digits: 1 };
  return bytes < 1e9 ? { name: 'MB', size: 1e6, digits: 1 } : { name: 'GB', size: 1e9, digits: 2 };
}

function formatDuration(ms: number): string {
  const seconds = Math.ceil(ms / 1000);
  if (seconds < 60) return `${String(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${String(minutes)} min ${String(seconds % 60)} s`;
  return `${String(Math.floor(minutes / 60))} h ${String(minutes % 60)} min`;
}
