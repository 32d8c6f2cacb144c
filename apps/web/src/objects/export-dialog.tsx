import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Problem } from '../api/client.js';
import { given } from '../api/parameters.js';
import { useGet } from '../api/use-get.js';
import { problemOfError } from '../api/use-load.js';
import { useSession } from '../session.js';
import { Dialog } from '../ui/dialog.js';
import { saveFile } from '../ui/save-file.js';
import { sizeText } from '../ui/size-text.js';
import { ProblemNote } from '../ui/states.js';
import type { Filter } from './objects-query.js';

const FORMATS = [
  ['csv', 'CSV: one column for each key, for spreadsheets'],
  ['ndjson', 'NDJSON: one JSON object on each line, can be loaded again'],
  ['parquet', 'Parquet: for DuckDB, pandas and other tools'],
] as const;
type Format = (typeof FORMATS)[number][0];

interface Props {
  filter: Filter;
  sort: string | undefined;
  onClose: () => void;
}

/** Downloads all objects that the filter matches. */
export function ExportDialog({ filter, sort, onClose }: Props): JSX.Element {
  const { client } = useSession();
  const [format, setFormat] = useState<Format>('csv');
  const [state, setState] = useState<{ bytes: number; isDone: boolean; problem: Problem | null } | null>(null);
  const count = useGet('/api/v1/objects', {
    query: { ...filter, count: 'exact', page_size: 1, fields: 'object_id' },
  });
  const abort = useRef(new AbortController());
  useEffect(
    () => () => {
      abort.current.abort();
    },
    [],
  );
  const isRunning = state !== null && !state.isDone && state.problem === null;
  const download = async (): Promise<void> => {
    setState({ bytes: 0, isDone: false, problem: null });
    try {
      // Formulas in cells are defused: a spreadsheet would run them.
      const query = { ...filter, ...given({ sort }), format, ...(format === 'csv' ? { safe: true } : {}) };
      const { response } = await client.GET('/api/v1/objects/export', {
        params: { query },
        parseAs: 'stream',
        signal: abort.current.signal,
      });
      const blob = await readBlob(response, (bytes) => setState({ bytes, isDone: false, problem: null }));
      saveFile(blob, `objects.${format}`);
      setState({ bytes: blob.size, isDone: true, problem: null });
    } catch (error) {
      if (abort.current.signal.aborted) return;
      setState({ bytes: 0, isDone: false, problem: problemOfError(error) });
    }
  };
  const objects = count.data?.count;
  return (
    <Dialog title="Download" onClose={onClose}>
      <p aria-live="polite">
        {count.problem !== null && 'The number of objects could not be counted.'}
        {count.isLoading && 'Counting …'}
        {objects !== null && objects !== undefined && `${objects.toLocaleString('en')} objects`}
      </p>
      <fieldset>
        <legend>Format</legend>
        {FORMATS.map(([name, words]) => (
          <label key={name}>
            <input type="radio" name="format" checked={format === name} onChange={() => setFormat(name)} /> {words}
          </label>
        ))}
      </fieldset>
      {state?.problem && <ProblemNote problem={state.problem} />}
      <p role="status">
        {isRunning && `${sizeText(state.bytes)} received …`}
        {state?.isDone && `Saved, ${sizeText(state.bytes)}.`}
      </p>
      <button type="button" class="primary" disabled={isRunning} onClick={() => void download()}>
        Download
      </button>
    </Dialog>
  );
}

async function readBlob(response: Response, onBytes: (bytes: number) => void): Promise<Blob> {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let bytes = 0;
  const reader = response.body?.getReader();
  for (let read = await reader?.read(); read?.value !== undefined; read = await reader?.read()) {
    chunks.push(read.value);
    bytes += read.value.length;
    onBytes(bytes);
  }
  return new Blob(chunks, { type: response.headers.get('Content-Type') ?? '' });
}
