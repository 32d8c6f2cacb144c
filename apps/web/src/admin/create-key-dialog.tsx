import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { useSubmit } from '../api/use-submit.js';
import { useSession } from '../session.js';
import { Dialog } from '../ui/dialog.js';
import { ProblemNote } from '../ui/states.js';
import { NewSecret } from './new-secret.js';

/** The roles of a project's keys, with what each may do. */
const ROLES = [
  ['analyst', 'analyst: reads objects and batches'],
  ['producer', 'producer: sends batches, objects and feeds'],
  ['admin', 'admin: all of this project, also deletes and keys'],
  ['device', 'device: reports the firmware of one device'],
] as const;

interface Props {
  /** Of the list of keys. */
  path: string;
  onClose: () => void;
  onCreated: () => void;
}

/** Creates a key of a project, and shows it once. */
export function CreateKeyDialog({ path, onClose, onCreated }: Props): JSX.Element {
  const { api } = useSession();
  const [name, setName] = useState('');
  const [role, setRole] = useState<string>('analyst');
  const [device, setDevice] = useState('');
  const [expires, setExpires] = useState('');
  const [secret, setSecret] = useState<string | null>(null);
  const submit = useSubmit();
  const body = { name, role, ...(role === 'device' ? { device_id: device } : {}), expires_at: startOfDay(expires) };
  const create = (event: Event): void => {
    event.preventDefault();
    submit.run(async () => {
      const created = await api.send<{ key: string }>('POST', path, body, {
        'Idempotency-Key': submit.idempotencyKey(body),
      });
      setSecret(created.key);
      onCreated();
    });
  };
  return (
    <Dialog title="Create a key" isKept={secret !== null} onClose={onClose}>
      {secret !== null ? (
        <NewSecret secret={secret} onClose={onClose} />
      ) : (
        <form class="form" onSubmit={create}>
          <label>
            Name: what the key is for
            <input required value={name} onInput={(event) => setName(event.currentTarget.value)} />
          </label>
          <label>
            Role
            <select value={role} onChange={(event) => setRole(event.currentTarget.value)}>
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
          {submit.problem !== null && <ProblemNote problem={submit.problem} />}
          <button type="submit" class="primary" disabled={submit.isRunning}>
            {submit.isRunning ? 'Creating …' : 'Create'}
          </button>
        </form>
      )}
    </Dialog>
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
