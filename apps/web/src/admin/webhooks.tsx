import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { usePages } from '../api/use-pages.js';
import { CountText } from '../ui/count-text.js';
import { PagedList } from '../ui/paged-list.js';
import { Empty } from '../ui/states.js';
import { TimeText } from '../ui/time-text.js';
import { WideList } from '../ui/wide-list.js';
import { CreateWebhookDialog } from './create-webhook-dialog.js';
import { WebhookPanel } from './webhook-panel.js';

interface Props {
  current: string | undefined;
  onOpen: (webhookId: string | null) => void;
}

/** The webhooks of the project, newest first. */
export function Webhooks({ current, onOpen }: Props): JSX.Element {
  const pages = usePages('/api/v1/webhooks');
  const [isCreating, setCreating] = useState(false);
  const empty = (
    <Empty title="This project has no webhooks yet">
      <p>
        A webhook sends what happens here to another system. <a href="/guides/webhooks">How webhooks work</a>
      </p>
    </Empty>
  );
  return (
    <>
      <div class="toolbar">
        <CountText count={pages.count} one="webhook" many="webhooks" />
        <button type="button" class="primary" onClick={() => setCreating(true)}>
          Create a webhook
        </button>
      </div>
      <PagedList pages={pages} name="webhooks" empty={empty}>
        {(webhooks) => (
          <WideList label="Webhooks">
            <thead>
              <tr>
                <th scope="col">Name</th>
                <th scope="col">State</th>
                <th scope="col">Events</th>
                <th scope="col">Sent to</th>
                <th scope="col">Created (UTC)</th>
              </tr>
            </thead>
            <tbody>
              {webhooks.map((webhook) => (
                <tr key={webhook.webhook_id} class={webhook.is_enabled ? undefined : 'muted'}>
                  <th scope="row">
                    <button type="button" class="plain link" onClick={() => onOpen(webhook.webhook_id)}>
                      {webhook.name}
                    </button>
                  </th>
                  <td>
                    <span class={webhook.is_enabled ? 'badge active' : 'badge'}>
                      {webhook.is_enabled ? 'enabled' : 'disabled'}
                    </span>
                  </td>
                  <td>{webhook.events.join(', ')}</td>
                  <td>{webhook.url}</td>
                  <td>
                    <TimeText time={webhook.created_at} />
                  </td>
                </tr>
              ))}
            </tbody>
          </WideList>
        )}
      </PagedList>
      {isCreating && <CreateWebhookDialog onClose={() => setCreating(false)} onCreated={pages.reload} />}
      {current !== undefined && (
        <WebhookPanel key={current} webhookId={current} onClose={() => onOpen(null)} onChanged={pages.reload} />
      )}
    </>
  );
}
