import type { JSX } from 'preact';
import { useEffect, useMemo, useState } from 'preact/hooks';
import type { Item } from '../api/client.js';
import { curlText, urlText } from '../api/parameters.js';
import { useGet } from '../api/use-get.js';
import { usePages } from '../api/use-pages.js';
import { FilterBar } from '../objects/filter-bar.js';
import { conditionsOf, FILTER_PARAMETERS, filterInData, filterParameters } from '../objects/objects-query.js';
import { useQuery, type Changes } from '../query.js';
import { useSession } from '../session.js';
import { CopyButton } from '../ui/copy-button.js';
import { CountText } from '../ui/count-text.js';
import { PagedList } from '../ui/paged-list.js';
import { Empty } from '../ui/states.js';
import { TimeText } from '../ui/time-text.js';
import { UploadPage } from '../upload/upload-page.js';
import { BatchPanel } from './batch-panel.js';
import './batches.css';

type Batch = Item<'/api/v1/batches'>;

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
  const { me } = useSession();
  const [deleted, setDeleted] = useState<string | null>(null);
  const keys = useGet('/api/v1/objects/keys');
  const conditions = useMemo(() => conditionsOf(query.data), [query.data]);
  const filter = filterParameters(query);
  useEffect(() => {
    const changes = filterInData(query);
    if (changes !== null) change(changes, true);
  });
  const pages = usePages('/api/v1/batches', { query: filter });
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
        <CopyButton label="Copy as curl" text={curlText('/api/v1/batches', filter)} />
        <CopyButton label="Copy as URL" text={urlText('/api/v1/batches', filter)} />
      </div>
      <p role="status">{deleted}</p>
      <PagedList pages={pages} name="batches" empty={<NoBatches isFiltered={Object.keys(filter).length > 0} />}>
        {(batches) => (
          <BatchTable
            batches={batches}
            isLoading={pages.isLoading}
            onOpen={(batch) => {
              setDeleted(null);
              change({ batch });
            }}
          />
        )}
      </PagedList>
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

function NoBatches({ isFiltered }: { isFiltered: boolean }): JSX.Element {
  return (
    <Empty title={isFiltered ? 'No batches match' : 'This project has no batches yet'}>
      {isFiltered && <p>A batch matches if one of its objects does. Remove a condition of the filter.</p>}
    </Empty>
  );
}

function BatchTable(props: {
  batches: readonly Batch[];
  isLoading: boolean;
  onOpen: (batchId: string) => void;
}): JSX.Element {
  const { batches, isLoading, onOpen } = props;
  return (
    <table class="list batches" aria-busy={isLoading}>
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
        {batches.map(({ batch_id, object_count, created_at }) => (
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
  );
}
