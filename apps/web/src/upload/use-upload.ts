import { useEffect, useRef, useState } from 'preact/hooks';
import type { Problem, Query, Schemas } from '../api/client.js';
import { given } from '../api/parameters.js';
import { problemOfError } from '../api/use-load.js';
import { useSession } from '../session.js';
import type { CsvOptions } from './csv.js';
import type { UploadFile } from './upload-file.js';

/** What is uploaded, and how. */
export interface UploadSettings {
  batchId: string;
  onConflict: '' | 'replace' | 'skip';
  isPartial: boolean;
  /** Null for other files. */
  csv: CsvOptions | null;
}

/** The result of a write: of the whole batch, or of the valid objects. */
export type Stored = Pick<Schemas['NewBatchDto'], 'batch_id'> &
  Partial<Schemas['NewBatchDto'] & Schemas['PartBatchDto']>;

/** An upload or a dry run of one; `settings` are those with which it was started. */
export type UploadRun = { settings: UploadSettings } & (
  | { state: 'running'; isDryRun: boolean; sentBytes: number }
  | { state: 'failed'; isDryRun: boolean; problem: Problem }
  | { state: 'checked'; result: Schemas['DryRunDto'] }
  | { state: 'stored'; result: Stored }
);

export interface Upload {
  run: UploadRun | null;
  start: (file: UploadFile, settings: UploadSettings, isDryRun: boolean) => void;
  /** Stops the request; forgets its result. */
  cancel: () => void;
}

/** Sends a file, and keeps the progress and the result. The browser asks before the tab is closed meanwhile. */
export function useUpload(): Upload {
  const { client } = useSession();
  const [run, setRun] = useState<UploadRun | null>(null);
  const abort = useRef<AbortController | null>(null);
  const isRunning = run?.state === 'running';
  useEffect(() => () => abort.current?.abort(), []);
  useEffect(() => {
    if (!isRunning) return;
    const ask = (event: Event): void => {
      event.preventDefault();
    };
    addEventListener('beforeunload', ask);
    return () => {
      removeEventListener('beforeunload', ask);
    };
  }, [isRunning]);

  const cancel = (): void => {
    abort.current?.abort();
    setRun(null);
  };
  const start = (file: UploadFile, settings: UploadSettings, isDryRun: boolean): void => {
    abort.current?.abort();
    const controller = new AbortController();
    abort.current = controller;
    const { signal } = controller;
    const { batchId, onConflict, isPartial, csv } = settings;
    const query = given({
      ...(csv === null ? {} : csvParameters(csv)),
      dry_run: isDryRun ? true : null,
      mode: isPartial ? 'partial' : null,
      on_conflict: onConflict,
    }) as Query<'putBatch'>;
    const onProgress = ({ sentBytes }: { sentBytes: number }): void => {
      setRun({ settings, state: 'running', isDryRun, sentBytes });
    };
    onProgress({ sentBytes: 0 });
    const mediaType = csv === null ? 'application/x-ndjson' : 'text/csv';
    client.uploadBatch(batchId, file.body, { params: { query }, mediaType, onProgress, signal }).then(
      (result) => {
        if (signal.aborted) return;
        if (isDryRun) setRun({ settings, state: 'checked', result: result as unknown as Schemas['DryRunDto'] });
        else setRun({ settings, state: 'stored', result: result as Stored });
      },
      (error: unknown) => {
        if (!signal.aborted) setRun({ settings, state: 'failed', isDryRun, problem: problemOfError(error) });
      },
    );
  };
  return { run, start, cancel };
}

function csvParameters({ delimiter, id, subject, observedAt, isText }: CsvOptions): object {
  return {
    delimiter: delimiter === '\t' ? 'tab' : delimiter,
    id,
    subject,
    observed_at: observedAt,
    types: isText ? 'text' : null,
  };
}
