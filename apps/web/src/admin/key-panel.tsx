import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { Schemas } from '../api/client.js';
import { useGet } from '../api/use-get.js';
import { useSubmit } from '../api/use-submit.js';
import { useSession } from '../session.js';
import { Dialog } from '../ui/dialog.js';
import { FactTable } from '../ui/fact-table.js';
import { ConfirmationField, FormEnd } from '../ui/form-end.js';
import { Panel } from '../ui/panel.js';
import { Loading, ProblemNote } from '../ui/states.js';
import { ExpiryField, startOfDay } from './create-key-dialog.js';
import type { ListOfKeys } from './list-of-keys.js';
import { SecretDialog } from './secret-dialog.js';

type Key = Schemas['KeyDto'];

/** How long a rotated key still works, in seconds. */
const OVERLAPS = [
  [86_400, 'a day'],
  [3_600, 'an hour'],
  [604_800, 'a week'],
  [0, 'not at all: it has leaked'],
] as const;

/** Where a key is. */
interface Source {
  path: `${ListOfKeys['path']}/{key_id}`;
  params: { path: ListOfKeys['parameters'] & { key_id: string } };
}

interface Props {
  /** The list that has the key. */
  list: ListOfKeys;
  keyId: string;
  onClose: () => void;
  onChanged: () => void;
}

/** One key, with what can be changed of it. */
export function KeyPanel({ list, keyId, onClose, onChanged }: Props): JSX.Element {
  const [dialog, setDialog] = useState<'rotate' | 'revoke' | null>(null);
  const source: Source = { path: `${list.path}/{key_id}`, params: { path: { ...list.parameters, key_id: keyId } } };
  const key = useGet(source.path, source.params);
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
            <EditForm key={JSON.stringify(data)} of={data} source={source} onChanged={changed} />
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
          {dialog === 'rotate' && <RotateDialog of={data} source={source} onClose={close} onRotated={changed} />}
          {dialog === 'revoke' && (
            <RevokeDialog
              of={data}
              source={source}
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
  return (
    <FactTable
      facts={[
        ['id', key.key_id],
        ['role', key.role],
        ['device', key.device_id],
        ['begins with', key.prefix],
        ['status', key.status],
        ['created', key.created_at],
        ['last used', key.last_used_at ?? 'never'],
        ['expires', key.expires_at ?? 'never'],
        ['revoked', key.revoked_at],
      ]}
    />
  );
}

function EditForm(props: { of: Key; source: Source; onChanged: () => void }): JSX.Element {
  const { of: key, source, onChanged } = props;
  const { client } = useSession();
  const [name, setName] = useState(key.name);
  const before = key.expires_at?.slice(0, 10) ?? '';
  const [expires, setExpires] = useState(before);
  const submit = useSubmit();
  const save = (event: Event): void => {
    event.preventDefault();
    submit.run(async () => {
      // An expiry within a day stays as it is, unless it was changed.
      const body = { name, ...(expires === before ? {} : { expires_at: startOfDay(expires) }) };
      await client.PATCH(source.path, { params: source.params, body });
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
      <FormEnd submit={submit} labels={['Save', 'Saving']} disabled={name === key.name && expires === before} />
    </form>
  );
}

function RotateDialog(props: { of: Key; source: Source; onClose: () => void; onRotated: () => void }): JSX.Element {
  const { of: key, source, onClose, onRotated } = props;
  const { client } = useSession();
  const [overlap, setOverlap] = useState(OVERLAPS[0][0].toString());
  const body = { overlap_seconds: Number(overlap) };
  const rotatePath = `${source.path}/rotate` as const;
  return (
    <SecretDialog
      title={`Rotate ${key.name}`}
      labels={['Rotate', 'Rotating']}
      body={body}
      create={(header) => client.POST(rotatePath, { params: { ...source.params, header }, body })}
      onClose={onClose}
      onCreated={onRotated}
    >
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
    </SecretDialog>
  );
}

function RevokeDialog(props: { of: Key; source: Source; onClose: () => void; onRevoked: () => void }): JSX.Element {
  const { of: key, source, onClose, onRevoked } = props;
  const { client } = useSession();
  const [typed, setTyped] = useState('');
  const submit = useSubmit();
  const revoke = (event: Event): void => {
    event.preventDefault();
    if (typed !== key.name) return;
    submit.run(async () => {
      await client.DELETE(source.path, { params: source.params });
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
        <ConfirmationField label="Type the name of the key to confirm" value={typed} onChange={setTyped} />
        <FormEnd submit={submit} labels={['Revoke', 'Revoking']} kind="danger" disabled={typed !== key.name} />
      </form>
    </Dialog>
  );
}

function OwnKeyNote({ of: key }: { of: Key }): JSX.Element {
  const { me } = useSession();
  if (key.key_id !== me.key_id) return <></>;
  return <p class="error-text">This page uses this key. When it stops working, sign in with another one.</p>;
}
