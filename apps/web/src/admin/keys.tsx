import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { usePages } from '../api/use-pages.js';
import { useSession } from '../session.js';
import { CountText } from '../ui/count-text.js';
import { PagedList } from '../ui/paged-list.js';
import { Empty } from '../ui/states.js';
import { TimeText } from '../ui/time-text.js';
import { WideList } from '../ui/wide-list.js';
import { CreateKeyDialog } from './create-key-dialog.js';
import { KeyPanel } from './key-panel.js';
import { listOfKeys } from './list-of-keys.js';

interface Props {
  /** Null for the operator keys, which are created on the command line only. */
  projectId: string | null;
  current: string | undefined;
  onOpen: (keyId: string | null) => void;
}

/** Keys, newest first, also expired and revoked ones. */
export function Keys({ projectId, current, onOpen }: Props): JSX.Element {
  const { me } = useSession();
  const list = listOfKeys(projectId);
  const pages = usePages(list.path, { path: list.parameters });
  const [isCreating, setCreating] = useState(false);
  return (
    <>
      <div class="toolbar">
        <CountText count={pages.count} one="key" many="keys" />
        {projectId !== null ? (
          <button type="button" class="primary" onClick={() => setCreating(true)}>
            Create a key
          </button>
        ) : (
          <span class="muted">
            Create one with <code>stowage key create --role operator</code>
          </span>
        )}
      </div>
      <PagedList pages={pages} name="keys" empty={<Empty title="No keys" />}>
        {(keys) => (
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
              {keys.map((key) => (
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
      </PagedList>
      {isCreating && <CreateKeyDialog list={list} onClose={() => setCreating(false)} onCreated={pages.reload} />}
      {current !== undefined && (
        <KeyPanel key={current} list={list} keyId={current} onClose={() => onOpen(null)} onChanged={pages.reload} />
      )}
    </>
  );
}
