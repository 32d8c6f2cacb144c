import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { usePages } from '../api/use-pages.js';
import { useSession } from '../session.js';
import { CountText } from '../ui/count-text.js';
import { LoadMore } from '../ui/load-more.js';
import { Empty, Loading, ProblemNote } from '../ui/states.js';
import { TimeText } from '../ui/time-text.js';
import { WideList } from '../ui/wide-list.js';
import { CreateKeyDialog } from './create-key-dialog.js';
import { KeyPanel } from './key-panel.js';
import type { Key } from './types.js';

interface Props {
  /** Of the list: `/operator-keys`, or that of a project. */
  path: string;
  /** Operator keys are created on the command line only. */
  canCreate: boolean;
  current: string | undefined;
  onOpen: (keyId: string | null) => void;
}

/** Keys, newest first, also expired and revoked ones. */
export function Keys({ path, canCreate, current, onOpen }: Props): JSX.Element {
  const { me } = useSession();
  const pages = usePages<Key>(path);
  const [isCreating, setCreating] = useState(false);
  return (
    <>
      <div class="toolbar">
        <CountText count={pages.count} one="key" many="keys" />
        {canCreate ? (
          <button type="button" class="primary" onClick={() => setCreating(true)}>
            Create a key
          </button>
        ) : (
          <span class="muted">
            Create one with <code>stowage key create --role operator</code>
          </span>
        )}
      </div>
      {pages.problem !== null && <ProblemNote problem={pages.problem} onRetry={pages.retry} />}
      {pages.items.length === 0 && pages.isLoading && <Loading label="Loading keys" />}
      {pages.items.length === 0 && !pages.isLoading && pages.problem === null && <Empty title="No keys" />}
      {pages.items.length > 0 && (
        <WideList label="Keys">
          <thead>
            <tr>
              <th scope="col">Name</th>
              <th scope="col">Role</th>
              <th scope="col">Begins with</th>
              <th scope="col">Status</th>
              <th scope="col">Last used (UTC)</th>
              <th scope="col">Expires (UTC)</th>
            </tr>
          </thead>
          <tbody>
            {pages.items.map((key) => (
              <tr key={key.key_id} class={key.status === 'active' ? undefined : 'muted'}>
                <th scope="row">
                  <button type="button" class="plain link" onClick={() => onOpen(key.key_id)}>
                    {key.name}
                  </button>
                  {key.key_id === me.key_id && <span class="muted"> (this key)</span>}
                </th>
                <td>
                  {key.role}
                  {key.device_id !== null && <span class="muted"> {key.device_id}</span>}
                  {key.canary && <span class="badge">canary</span>}
                </td>
                <td class="exact">{key.prefix}</td>
                <td>
                  <span class={`badge ${key.status}`}>{key.status}</span>
                </td>
                <td>{key.last_used_at === null ? 'never' : <TimeText time={key.last_used_at} />}</td>
                <td>{key.expires_at === null ? 'never' : <TimeText time={key.expires_at} />}</td>
              </tr>
            ))}
          </tbody>
        </WideList>
      )}
      <LoadMore pages={pages} />
      {isCreating && <CreateKeyDialog path={path} onClose={() => setCreating(false)} onCreated={pages.reload} />}
      {current !== undefined && (
        <KeyPanel
          key={current}
          path={`${path}/${encodeURIComponent(current)}`}
          onClose={() => onOpen(null)}
          onChanged={pages.reload}
        />
      )}
    </>
  );
}
