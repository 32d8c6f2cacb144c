import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { StowageClient } from '../api/client.js';
import { useLoad } from '../api/use-load.js';
import { useSubmit } from '../api/use-submit.js';
import { useSession } from '../session.js';
import { Dialog } from '../ui/dialog.js';
import { ConfirmationField } from '../ui/form-end.js';
import { Loading, ProblemNote } from '../ui/states.js';

interface Props {
  batchId: string;
  onClose: () => void;
  /** @param text what was deleted */
  onDeleted: (text: string) => void;
}

/** Deletes a batch with its objects, after its id was typed. */
export function DeleteBatchDialog({ batchId, onClose, onDeleted }: Props): JSX.Element {
  const { client } = useSession();
  const [typed, setTyped] = useState('');
  const deletion = useSubmit();
  const state = useLoad(batchId, (signal) => loadState(client, batchId, signal));
  const objects = state.data === null ? '' : objectsText(state.data.objectCount);
  const remove = async (etag: string): Promise<void> => {
    const params = { path: { batch_id: batchId }, query: { cascade: true }, header: { 'If-Match': etag } };
    await client.DELETE('/api/v1/batches/{batch_id}', { params });
    onDeleted(`The batch ${batchId} with ${objects} was deleted.`);
  };
  const submit = (event: Event): void => {
    event.preventDefault();
    const etag = state.data?.etag;
    if (typed === batchId && etag !== undefined) deletion.run(() => remove(etag));
  };
  const retry = (): void => {
    deletion.reset();
    state.reload();
  };
  const shown = deletion.problem ?? state.problem;
  return (
    <Dialog title="Delete a batch" onClose={onClose}>
      {state.data === null && state.isLoading && <Loading label="Counting the objects" />}
      {state.data !== null && (
        <form class="form" onSubmit={submit}>
          <p>
            This deletes the batch <strong>{batchId}</strong> with <strong>{objects}</strong>.{' '}
            {state.data.undeleteHours !== undefined && <Restorable hours={state.data.undeleteHours} />}
          </p>
          <ConfirmationField label="Type the id of the batch to confirm" value={typed} onChange={setTyped} />
          <button type="submit" class="danger" disabled={typed !== batchId || deletion.isRunning || state.isLoading}>
            {deletion.isRunning ? 'Deleting …' : `Delete the batch and ${objects}`}
          </button>
        </form>
      )}
      {shown !== null && <ProblemNote problem={shown} onRetry={retry} />}
    </Dialog>
  );
}

function Restorable({ hours }: { hours: number }): JSX.Element {
  if (hours === 0) return <>It cannot be restored: this server keeps nothing that was deleted.</>;
  return (
    <>
      <a href="/browse/admin?tab=deletions">Deleted batches</a> can be restored for {hoursText(hours)}, unless the
      project has too many of them.
    </>
  );
}

interface BatchState {
  /** With it, the server deletes no other objects than were counted. */
  etag: string;
  objectCount: number;
  /** Hours for which the server keeps what was deleted; undefined where it does not say. */
  undeleteHours: number | undefined;
}

/** @throws StowageError */
async function loadState(client: StowageClient, batchId: string, signal: AbortSignal): Promise<BatchState> {
  // First the ETag: where objects are added before they are counted, it does not match any more.
  const params = { path: { batch_id: batchId } };
  const { response } = await client.HEAD('/api/v1/batches/{batch_id}', { params, signal });
  const { data } = await client.GET('/api/v1/batches', { params: { query: { batch_id: batchId } }, signal });
  // The batch can be deleted without them, and a server of an earlier version has none.
  const limits = await client.GET('/api/v1/limits', { signal }).catch(() => null);
  return {
    etag: response.headers.get('ETag') ?? '',
    objectCount: data.results[0]?.object_count ?? 0,
    undeleteHours: limits?.data.undelete_hours,
  };
}

function objectsText(count: number): string {
  return count === 0 ? 'no objects' : `${count.toLocaleString('en')} ${count === 1 ? 'object' : 'objects'}`;
}

function hoursText(hours: number): string {
  return hours === 1 ? 'an hour' : `${hours.toLocaleString('en')} hours`;
}
