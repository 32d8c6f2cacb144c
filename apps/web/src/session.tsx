import { createContext, type ComponentChildren, type JSX } from 'preact';
import { useContext, useMemo, useState } from 'preact/hooks';
import { clientOf, type Schemas, type StowageClient } from './api/client.js';
import { useLoad } from './api/use-load.js';
import { Loading, ProblemNote } from './ui/states.js';

/** The key is kept in this tab only, and is gone when it is closed. */
const STORED_KEY = 'stowage.key';

export interface Session {
  client: StowageClient;
  me: Schemas['MeDto'];
  signOut: () => void;
}

const SessionContext = createContext<Session | null>(null);

/** The key's session; only below `SessionGate`. */
export function useSession(): Session {
  const session = useContext(SessionContext);
  if (session === null) throw new Error('no session');
  return session;
}

/** Requests a key, and shows its children when the server accepts it. */
export function SessionGate({ children }: { children: ComponentChildren }): JSX.Element {
  const [key, setKey] = useState(() => sessionStorage.getItem(STORED_KEY));
  const client = useMemo(() => clientOf(key ?? ''), [key]);
  const me = useLoad(key, async (signal) => (await client.GET('/api/v1/me', { signal })).data);
  const save = (next: string | null): void => {
    if (next === null) sessionStorage.removeItem(STORED_KEY);
    else sessionStorage.setItem(STORED_KEY, next);
    setKey(next);
  };
  if (key === null) return <KeyForm onKey={save} />;
  if (me.problem?.status === 401) return <KeyForm onKey={save} isRejected />;
  if (me.problem !== null) {
    return (
      <main class="gate">
        <ProblemNote problem={me.problem} onRetry={me.reload} />
        <p>
          <button type="button" onClick={() => save(null)}>
            Use another key
          </button>
        </p>
      </main>
    );
  }
  if (me.data === null || me.isLoading) return <Loading label="Checking the key" />;
  const session = { client, me: me.data, signOut: () => save(null) };
  return <SessionContext.Provider value={session}>{children}</SessionContext.Provider>;
}

function KeyForm({ onKey, isRejected = false }: { onKey: (key: string) => void; isRejected?: boolean }): JSX.Element {
  const [key, setKey] = useState('');
  const submit = (event: Event): void => {
    event.preventDefault();
    if (key.trim() !== '') onKey(key.trim());
  };
  return (
    <main class="gate">
      <form onSubmit={submit} class="card">
        <h1>Stowage</h1>
        <label for="key">API key</label>
        <input
          id="key"
          type="password"
          autocomplete="off"
          autofocus
          value={key}
          onInput={(event) => setKey(event.currentTarget.value)}
          aria-describedby="key-help"
          aria-invalid={isRejected}
        />
        {isRejected && (
          <p role="alert" class="error-text">
            The server does not accept this key. It may be revoked or expired.
          </p>
        )}
        <p id="key-help" class="muted">
          The first start of the server prints an admin key. This page keeps the key until the tab is closed.
        </p>
        <button type="submit" class="primary">
          Open
        </button>
      </form>
    </main>
  );
}
