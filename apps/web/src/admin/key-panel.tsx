import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { useLoad } from '../api/use-load.js';
import { useSubmit } from '../api/use-submit.js';
import { useSession } from '../session.js';
import { Dialog } from '../ui/dialog.js';
import { Panel } from '../ui/panel.js';
import { Loading, ProblemNote } from '../ui/states.js';
import { ExpiryField, startOfDay } from './create-key-dialog.js';
import { NewSecret } from './new-secret.js';
import type { Key } from './types.js';

/** How long a rotated key still works, in seconds. */
const OVERLAPS = [
  [86_400, 'a day'],
  [3_600, 'an hour'],
  [604_800, 'a week'],
  [0, 'not at all: it has leaked'],
] as const;

interface Props {
  /** Of the key. */
  path: string;
  onClose: () => void;
  onChanged: () => void;
}

/** One key, with what can be changed of it. */
export function KeyPanel({ path, onClose, onChanged }: Props): JSX.Element {
  const { api } = useSession();
  const [dialog, setDialog] = useState<'rotate' | 'revoke' | null>(null);
  const key = useLoad(path, (signal) => api.get<Key>(path, {}, signal));
  const changed = (): void => {
    key.reload();
    onChanged();
  };
  const close = (): void => setDialog(null);
  const { data } = key;
  return (
    <Panel title={data?.name ?? 'Key'} label="Key" onClose={onClose}>
      {key.problem !== null && <ProblemNote problem={key.problem} onRetry={key.reload} />}
      {data === null && key.isLoading && <Loading label="Loading the key" />}
      {data !== null && (
        <>
          <KeyFacts of={data} />
          {data.status !== 'revoked' && (
            <EditForm key={JSON.stringify(data)} of={data} path={path} onChanged={changed} />
          )}
          {data.status !== 'revoked' && (
            <p class="actions">
              {data.status === 'active' && (
                <button type="button" onClick={() => setDialog('rotate')}>
                  Rotate …
                </button>
              )}
              <button type="button" class="danger" onClick={() => setDialog('revoke')}>
                Revoke …
              </button>
            </p>
          )}
          {dialog === 'rotate' && <RotateDialog of={data} path={path} onClose={close} onRotated={changed} />}
          {dialog === 'revoke' && (
            <RevokeDialog
              of={data}
              path={path}
              onClose={close}
              onRevoked={() => {
                close();
                changed();
              }}
            />
          )}
        </>
      )}
    </Panel>
  );
}

function KeyFacts({ of: key }: { of: Key }): JSX.Element {
  const facts: readonly (readonly [string, string | null])[] = [
    ['id', key.key_id],
    ['role', key.role],
    ['device', key.device_id],
    ['begins with', key.prefix],
    ['status', key.status],
    ['created', key.created_at],
    ['last used', key.last_used_at ?? 'never'],
    ['expires', key.expires_at ?? 'never'],
    ['revoked', key.revoked_at],
  ];
  return (
    <table class="pairs">
      <tbody>
        {facts.map(
          ([name, value]) =>
            value !== null && (
              <tr key={name}>
                <th scope="row">{name}</th>
                <td>{value}</td>
              </tr>
            ),
        )}
      </tbody>
    </table>
  );
}

function EditForm({ of: key, path, onChanged }: { of: Key; path: string; onChanged: () => void }): JSX.Element {
  const { api } = useSession();
  const [name, setName] = useState(key.name);
  const before = key.expires_at?.slice(0, 10) ?? '';
  const [expires, setExpires] = useState(before);
  const submit = useSubmit();
  const save = (event: Event): void => {
    event.preventDefault();
    submit.run(async () => {
      // An expiry within a day stays as it is, unless it was changed.
      await api.send('PATCH', path, { name, ...(expires === before ? {} : { expires_at: startOfDay(expires) }) });
      onChanged();
    });
  };
  return (
    <form class="form edit-form" onSubmit={save}>
      <label>
        Name
        <input required value={name} onInput={(event) => setName(event.currentTarget.value)} />
      </label>
      <ExpiryField value={expires} onChange={setExpires} />
      {submit.problem !== null && <ProblemNote problem={submit.problem} />}
      <button type="submit" disabled={submit.isRunning || (name === key.name && expires === before)}>
        {submit.isRunning ? 'Saving …' : 'Save'}
      </button>
    </form>
  );
}

function RotateDialog(props: { of: Key; path: string; onClose: () => void; onRotated: () => void }): JSX.Element {
  const { of: key, path, onClose, onRotated } = props;
  const { api } = useSession();
  const [overlap, setOverlap] = useState(OVERLAPS[0][0].toString());
  const [secret, setSecret] = useState<string | null>(null);
  const submit = useSubmit();
  const rotate = (event: Event): void => {
    event.preventDefault();
    submit.run(async () => {
      const body = { overlap_seconds: Number(overlap) };
      const created = await api.send<{ key: string }>('POST', `${path}/rotate`, body, {
        'Idempotency-Key': submit.idempotencyKey(body),
      });
      setSecret(created.key);
    });
  };
  const close = (): void => {
    onClose();
    if (secret !== null) onRotated();
  };
  return (
    <Dialog title={`Rotate ${key.name}`} isKept={secret !== null} onClose={close}>
      {secret !== null ? (
        <NewSecret secret={secret} onClose={close} />
      ) : (
        <form class="form" onSubmit={rotate}>
          <p>This creates a new key with the same name, role, device and expiry.</p>
          <label>
            The old key still works for
            <select value={overlap} onChange={(event) => setOverlap(event.currentTarget.value)}>
              {OVERLAPS.map(([seconds, words]) => (
                <option key={seconds} value={String(seconds)}>
                  {words}
                </option>
              ))}
            </select>
          </label>
          <OwnKeyNote of={key} />
          {submit.problem !== null && <ProblemNote problem={submit.problem} />}
          <button type="submit" class="primary" disabled={submit.isRunning}>
            {submit.isRunning ? 'Rotating …' : 'Rotate'}
          </button>
        </form>
      )}
    </Dialog>
  );
}

function RevokeDialog(props: { of: Key; path: string; onClose: () => void; onRevoked: () => void }): JSX.Element {
  const { of: key, path, onClose, onRevoked } = props;
  const { api } = useSession();
  const [typed, setTyped] = useState('');
  const submit = useSubmit();
  const revoke = (event: Event): void => {
    event.preventDefault();
    if (typed !== key.name) return;
    submit.run(async () => {
      await api.send('DELETE', path);
      onRevoked();
    });
  };
  return (
    <Dialog title="Revoke a key" onClose={onClose}>
      <form class="form" onSubmit={revoke}>
        <p>
          Requests with the key <strong>{key.name}</strong> are rejected from now on. It cannot be undone.
        </p>
        <OwnKeyNote of={key} />
        <label>
          Type the name of the key to confirm
          <input
            value={typed}
            autocomplete="off"
            spellcheck={false}
            onInput={(event) => setTyped(event.currentTarget.value)}
          />
        </label>
        {submit.problem !== null && <ProblemNote problem={submit.problem} />}
        <button type="submit" class="danger" disabled={typed !== key.name || submit.isRunning}>
          {submit.isRunning ? 'Revoking …' : 'Revoke'}
        </button>
      </form>
    </Dialog>
  );
}

function OwnKeyNote({ of: key }: { of: Key }): JSX.Element {
  const { me } = useSession();
  if (key.key_id !== me.key_id) return <></>;
  return <p class="error-text">This page uses this key. When it stops working, sign in with another one.</p>;
}
