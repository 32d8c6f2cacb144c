import type { JSX } from 'preact';
import { CopyButton } from '../ui/copy-button.js';

/** A key that was created; the server does not return it again. */
export function NewSecret({ secret, onClose }: { secret: string; onClose: () => void }): JSX.Element {
  return (
    <div class="form" role="status">
      <p>
        This is the key. It is shown <strong>only once</strong>: store it now.
      </p>
      <pre class="secret" tabIndex={0}>
        {secret}
      </pre>
      <p class="actions">
        <CopyButton label="Copy the key" text={secret} />
        <button type="button" class="primary" onClick={onClose}>
          Done
        </button>
      </p>
    </div>
  );
}
