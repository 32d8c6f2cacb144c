import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { Schemas } from '../api/client.js';
import { useSession } from '../session.js';
import type { ListOfKeys } from './list-of-keys.js';
import { SecretDialog } from './secret-dialog.js';

/** The roles of a project's keys, with what each may do. */
const ROLES = [
  ['analyst', 'analyst: reads objects and batches'],
  ['producer', 'producer: sends batches, objects and feeds'],
  ['admin', 'admin: all of this project, also deletes and keys'],
  ['device', 'device: reports the firmware of one device'],
] as const;

interface Props {
  list: ListOfKeys;
  onClose: () => void;
  onCreated: () => void;
}

/** Creates a key of a project, and shows it once. */
export function CreateKeyDialog({ list, onClose, onCreated }: Props): JSX.Element {
  const { client } = useSession();
  const [name, setName] = useState('');
  const [role, setRole] = useState<Schemas['CreateKeyDto']['role']>('analyst');
  const [device, setDevice] = useState('');
  const [expires, setExpires] = useState('');
  const body = { name, role, ...(role === 'device' ? { device_id: device } : {}), expires_at: startOfDay(expires) };
  return (
    <SecretDialog
      title="Create a key"
      labels={['Create', 'Creating']}
      body={body}
      create={(header) => client.POST(list.path, { params: { path: list.parameters, header }, body })}
      onClose={onClose}
      onCreated={onCreated}
    >
      <label>
        Name: what the key is for
        <input required value={name} onInput={(event) => setName(event.currentTarget.value)} />
      </label>
      <label>
        Role
        <select value={role} onChange={(event) => setRole(event.currentTarget.value as typeof role)}>
          {ROLES.map(([value, words]) => (
            <option key={value} value={value}>
              {words}
            </option>
          ))}
        </select>
      </label>
      {role === 'device' && (
        <label>
          Device id
          <input required value={device} onInput={(event) => setDevice(event.currentTarget.value)} />
        </label>
      )}
      <ExpiryField value={expires} onChange={setExpires} />
    </SecretDialog>
  );
}

export function ExpiryField({ value, onChange }: { value: string; onChange: (date: string) => void }): JSX.Element {
  return (
    <label>
      Expires at the start of this day (UTC); leave it empty for never
      <input type="date" value={value} onInput={(event) => onChange(event.currentTarget.value)} />
    </label>
  );
}

/** Null for no date. */
export function startOfDay(date: string): string | null {
  return date === '' ? null : `${date}T00:00:00Z`;
}
