import type { JSX } from 'preact';
import { useEffect, useMemo, useState } from 'preact/hooks';
import { curlText, urlText } from '../api/curl.js';
import type { KeyInUse } from '../api/types.js';
import { useLoad } from '../api/use-load.js';
import { usePages, type Pages } from '../api/use-pages.js';
import { FilterBar } from '../objects/filter-bar.js';
import { conditionsOf, FILTER_PARAMETERS, filterInData, filterParameters } from '../objects/objects-query.js';
import { useQuery, type Changes } from '../query.js';
import { useSession } from '../session.js';
import { CopyButton } from '../ui/copy-button.js';
import { CountText } from '../ui/count-text.js';
import { LoadMore } from '../ui/load-more.js';
import { Empty, Loading, ProblemNote } from '../ui/states.js';
import { TimeText } from '../ui/time-text.js';
import { UploadPage } from '../upload/upload-page.js';
import { BatchPanel } from './batch-panel.js';
import './batches.css';
import type { Batch } from './types.js';

const PARAMETERS = [...FILTER_PARAMETERS, 'batch', 'view'] as const;
type ParameterName = (typeof PARAMETERS)[number];

/** The list of batches or an upload; a producer can only upload. */
export function BatchesPage(): JSX.Element {
  const { me } = useSession();
  const [query, change] = useQuery(PARAMETERS);
  if (me.role === 'producer') return <UploadPage onBatches={null} />;
  if (query.view === 'upload' && me.role === 'admin') return <UploadPage onBatches={() => change({ view: null })} />;
  return <BatchList query={query} change={change} />;
}

/** The batches that have a matching object, newest first, and one batch. */
function BatchList(props: {
  query: Partial<Record<ParameterName, string>>;
  change: (changes: Changes<ParameterName>, isReplaced?: boolean) => void;
}): JSX.Element {
  const { query, change } = props;
  const { api, me } = useSession();
  const [deleted, setDeleted] = useState<string | null>(null);
  const keys = useLoad('keys', (signal) => api.get<{ results: KeyInUse[] }>('/objects/keys', {}, signal));
  const conditions = useMemo(() => conditionsOf(query.data), [query.data]);
  const filter = filterParameters(query);
  useEffect(() => {
    const changes = filterInData(query);
    if (changes !== null) change(changes, true);
  });
  const pages = usePages<Batch>('/batches', filter);
  return (
    <main id="main" class="list-page">
      <h1>Batches</h1>
      <FilterBar
        query={query}
        conditions={conditions}
        keys={keys.data?.results ?? []}
        all="All batches"
        onChange={change}
      />
      <div class="toolbar">
        <CountText count={pages.count} one="batch" many="batches" />
        {me.role === 'admin' && (
          <button type="button" class="primary" onClick={() => change({ view: 'upload', batch: null })}>
            Upload a batch
          </button>
        )}
        <CopyButton label="Copy as curl" text={curlText('/batches', filter)} />
        <CopyButton label="Copy as URL" text={urlText('/batches', filter)} />
      </div>
      <p role="status">{deleted}</p>
      {pages.problem !== null && <ProblemNote problem={pages.problem} onRetry={pages.retry} />}
      {pages.problem === null && pages.items.length === 0 && (
        <NoBatches pages={pages} isFiltered={Object.keys(filter).length > 0} />
      )}
      {pages.items.length > 0 && (
        <BatchTable
          pages={pages}
          onOpen={(batch) => {
            setDeleted(null);
            change({ batch });
          }}
        />
      )}
      {query.batch !== undefined && (
        <BatchPanel
          key={query.batch}
          batchId={query.batch}
          onClose={() => change({ batch: null })}
          onDeleted={(text) => {
            setDeleted(text);
            change({ batch: null });
            pages.reload();
          }}
        />
      )}
    </main>
  );
}

function NoBatches({ pages, isFiltered }: { pages: Pages<Batch>; isFiltered: boolean }): JSX.Element {
  if (pages.isLoading) return <Loading label="Loading batches" />;
  return (
    <Empty title={isFiltered ? 'No batches match' : 'This project has no batches yet'}>
      {isFiltered && <p>A batch matches if one of its objects does. Remove a condition of the filter.</p>}
    </Empty>
  );
}

function BatchTable({ pages, onOpen }: { pages: Pages<Batch>; onOpen: (batchId: string) => void }): JSX.Element {
  return (
    <>
      <table class="list batches" aria-busy={pages.isLoading}>
        <thead>
          <tr>
            <th scope="col">Batch</th>
            <th scope="col" class="number">
              Objects
            </th>
            <th scope="col">Created (UTC)</th>
          </tr>
        </thead>
        <tbody>
          {pages.items.map(({ batch_id, object_count, created_at }) => (
            <tr key={batch_id}>
              <td>
                <button type="button" class="plain link" onClick={() => onOpen(batch_id)}>
                  {batch_id}
                </button>
              </td>
              <td class="number">{object_count.toLocaleString('en')}</td>
              <td>
                <TimeText time={created_at} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      <LoadMore pages={pages} />
    </>
  );
}
