import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { Schemas } from '../api/client.js';
import { displayText } from '../api/json.js';
import { queryText } from '../api/parameters.js';
import { useGet } from '../api/use-get.js';
import { ExportDialog } from '../objects/export-dialog.js';
import { useSession } from '../session.js';
import { Panel } from '../ui/panel.js';
import { Empty, Loading, ProblemNote } from '../ui/states.js';
import { TimeText } from '../ui/time-text.js';
import { DeleteBatchDialog } from './delete-batch-dialog.js';

/** Objects of the batch that are shown. */
const NEWEST = 10;

interface Props {
  batchId: string;
  onClose: () => void;
  /** @param text what was deleted */
  onDeleted: (text: string) => void;
}

/** One batch: its size, its newest objects, and what can be done with it. */
export function BatchPanel({ batchId, onClose, onDeleted }: Props): JSX.Element {
  const batch = useGet('/api/v1/batches', { query: { batch_id: batchId } });
  const found = batch.data?.results[0];
  return (
    <Panel title={batchId} label={`Batch ${batchId}`} onClose={onClose}>
      {batch.problem !== null && <ProblemNote problem={batch.problem} onRetry={batch.reload} />}
      {batch.data === null && batch.isLoading && <Loading label="Loading the batch" />}
      {batch.data !== null && found === undefined && (
        <Empty title="Batch not found">
          <p>It may have been deleted.</p>
        </Empty>
      )}
      {found !== undefined && <BatchDetails batch={found} onDeleted={onDeleted} />}
    </Panel>
  );
}

function BatchDetails({
  batch,
  onDeleted,
}: {
  batch: Schemas['ListedBatchDto'];
  onDeleted: Props['onDeleted'];
}): JSX.Element {
  const { me } = useSession();
  const [dialog, setDialog] = useState<'export' | 'delete' | null>(null);
  const { batch_id, object_count, created_at } = batch;
  return (
    <>
      <table class="pairs">
        <tbody>
          <tr>
            <th scope="row">objects</th>
            <td>{object_count.toLocaleString('en')}</td>
          </tr>
          <tr>
            <th scope="row">created (UTC)</th>
            <td>
              <TimeText time={created_at} />
            </td>
          </tr>
        </tbody>
      </table>
      <p class="actions">
        <a class="button" href={`/browse/objects${queryText({ batch_id })}`}>
          Show the objects
        </a>
        <button type="button" disabled={object_count === 0} onClick={() => setDialog('export')}>
          Download
        </button>
        {me.role === 'admin' && (
          <button type="button" class="danger" onClick={() => setDialog('delete')}>
            Delete
          </button>
        )}
      </p>
      {object_count > 0 && <NewestObjects batchId={batch_id} />}
      {dialog === 'export' && <ExportDialog filter={{ batch_id }} sort={undefined} onClose={() => setDialog(null)} />}
      {dialog === 'delete' && (
        <DeleteBatchDialog batchId={batch_id} onClose={() => setDialog(null)} onDeleted={onDeleted} />
      )}
    </>
  );
}

function NewestObjects({ batchId }: { batchId: string }): JSX.Element {
  const objects = useGet('/api/v1/objects', { query: { batch_id: batchId, page_size: NEWEST, count: 'none' } });
  return (
    <section>
      <h3>Newest objects</h3>
      {objects.problem !== null && <ProblemNote problem={objects.problem} onRetry={objects.reload} />}
      {objects.data === null && objects.isLoading && <Loading label="Loading objects" />}
      <ul class="newest-objects">
        {objects.data?.results.map(({ object_id, data }) => (
          <li key={object_id}>
            <a href={`/browse/objects${queryText({ batch_id: batchId, object: object_id })}`}>{object_id}</a>
            <span class="muted">{data.map(({ key, value }) => `${key}: ${displayText(value)}`).join(', ')}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}
