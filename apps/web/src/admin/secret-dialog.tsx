import type { ComponentChildren, JSX } from 'preact';
import { useState } from 'preact/hooks';
import { useSubmit } from '../api/use-submit.js';
import { CopyButton } from '../ui/copy-button.js';
import { Dialog } from '../ui/dialog.js';
import { FormEnd } from '../ui/form-end.js';

interface Props {
  title: string;
  /** Of the button: what it does, and while it is done. */
  labels: readonly [string, string];
  /** What it creates. Default: key. */
  secretName?: string;
  /** What the form sends. */
  body: object;
  /** @param header makes the request safe to repeat */
  create: (header: { 'Idempotency-Key': string }) => Promise<{ data: { key: string } }>;
  onClose: () => void;
  /** Called when the dialog closes after a key was created. */
  onCreated: () => void;
  /** The fields of the form. */
  children: ComponentChildren;
}

/** A form that creates a key or another secret, and then shows it; the server does not return it again. */
export function SecretDialog(props: Props): JSX.Element {
  const { title, labels, secretName = 'key', body, create, onClose, onCreated, children } = props;
  const [secret, setSecret] = useState<string | null>(null);
  const submit = useSubmit();
  const send = (event: Event): void => {
    event.preventDefault();
    submit.run(async () => {
      const { data } = await create({ 'Idempotency-Key': submit.idempotencyKey(body) });
      setSecret(data.key);
    });
  };
  const close = (): void => {
    onClose();
    if (secret !== null) onCreated();
  };
  return (
    <Dialog title={title} isKept={secret !== null} onClose={close}>
      {secret === null ? (
        <form class="form" onSubmit={send}>
          {children}
          <FormEnd submit={submit} labels={labels} kind="primary" />
        </form>
      ) : (
        <div class="form" role="status">
          <p>
            This is the {secretName}. It is shown <strong>only once</strong>: store it now.
          </p>
          <pre class="secret" tabIndex={0}>
            {secret}
          </pre>
          <p class="actions">
            <CopyButton label={`Copy the ${secretName}`} text={secret} />
            <button type="button" class="primary" onClick={close}>
              Done
            </button>
          </p>
        </div>
      )}
    </Dialog>
  );
}
