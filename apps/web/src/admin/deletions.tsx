import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { Schemas } from '../api/client.js';
import { queryText } from '../api/parameters.js';
import { useGet } from '../api/use-get.js';
import { usePages } from '../api/use-pages.js';
import { useSubmit } from '../api/use-submit.js';
import { useSession } from '../session.js';
import { CountText } from '../ui/count-text.js';
import { PagedList } from '../ui/paged-list.js';
import { Empty, ProblemNote } from '../ui/states.js';
import { TimeText } from '../ui/time-text.js';
import { WideList } from '../ui/wide-list.js';

type Deletion = Schemas['DeletionDto'];

/** What was deleted and can still be restored, newest first. */
export function Deletions(): JSX.Element {
  const { client } = useSession();
  const pages = usePages('/api/v1/deletions');
  const limits = useGet('/api/v1/limits');
  const [restored, setRestored] = useState<Deletion | null>(null);
  const submit = useSubmit();
  const restore = (deletion: Deletion): void => {
    setRestored(null);
    submit.run(async () => {
      const params = { path: { deletion_id: deletion.deletion_id } };
      await client.POST('/api/v1/deletions/{deletion_id}/restore', { params });
      setRestored(deletion);
      pages.reload();
    });
  };
  const empty = (
    <Empty title="Nothing can be restored">
      <p>
        {limits.data?.undelete_hours === 0
          ? 'This server keeps nothing that was deleted.'
          : 'Deleted batches and objects are listed here for some time.'}{' '}
        <a href="/guides/operations/projects#restoring-what-was-deleted">How long</a>
      </p>
    </Empty>
  );
  return (
    <>
      <div class="toolbar">
        <CountText count={pages.count} one="deletion" many="deletions" />
      </div>
      <p role="status">
        {restored !== null && (
          <>
            Restored: <Deleted of={restored} />.
          </>
        )}
      </p>
      {submit.problem !== null && <ProblemNote problem={submit.problem} />}
      <PagedList pages={pages} name="deletions" empty={empty}>
        {(deletions) => (
          <WideList label="Deletions">
            <thead>
              <tr>
                <th scope="col">Deleted</th>
                <th scope="col">Restore</th>
                <th scope="col" class="number">
                  Objects
                </th>
                <th scope="col">When (UTC)</th>
                <th scope="col">Can be restored until (UTC)</th>
              </tr>
            </thead>
            <tbody>
              {deletions.map((deletion) => (
                <tr key={deletion.deletion_id}>
                  <th scope="row">{nameOf(deletion)}</th>
                  <td>
                    <button
                      type="button"
                      disabled={submit.isRunning}
                      aria-label={`Restore ${nameOf(deletion)}`}
                      onClick={() => restore(deletion)}
                    >
                      Restore
                    </button>
                  </td>
                  <td class="number">{deletion.object_count.toLocaleString('en')}</td>
                  <td>
                    <TimeText time={deletion.deleted_at} />
                  </td>
                  <td>
                    <TimeText time={deletion.restorable_until} />
                  </td>
                </tr>
              ))}
            </tbody>
          </WideList>
        )}
      </PagedList>
    </>
  );
}

function nameOf({ batch_id: batchId, object_id: objectId }: Deletion): string {
  if (batchId !== null) return `batch ${batchId}`;
  return objectId === null ? 'objects that a filter matched' : `object ${objectId}`;
}

/** What was deleted, with a link to it where it is a batch or an object. */
function Deleted({ of: deletion }: { of: Deletion }): JSX.Element {
  const { batch_id: batch, object_id: object } = deletion;
  if (batch === null && object === null) return <>{nameOf(deletion)}</>;
  const page = batch === null ? `objects${queryText({ object })}` : `batches${queryText({ batch })}`;
  return <a href={`/browse/${page}`}>{nameOf(deletion)}</a>;
}
