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
import { COMPARISONS } from './create-webhook-dialog.js';
import { Deliveries } from './deliveries.js';

type Webhook = Schemas['WebhookDto'];

interface Props {
  webhookId: string;
  onClose: () => void;
  onChanged: () => void;
}

/** One webhook with what was sent to it. */
export function WebhookPanel({ webhookId, onClose, onChanged }: Props): JSX.Element {
  const { client } = useSession();
  const webhook = useGet('/api/v1/webhooks/{webhook_id}', { path: { webhook_id: webhookId } });
  const [sent, setSent] = useState(0);
  const [isDeleting, setDeleting] = useState(false);
  const submit = useSubmit();
  const params = { path: { webhook_id: webhookId } };
  const { data } = webhook;
  const enable = (): void => {
    submit.run(async () => {
      await client.PATCH('/api/v1/webhooks/{webhook_id}', { params, body: { is_enabled: data?.is_enabled !== true } });
      webhook.reload();
      onChanged();
      setSent(sent + 1);
    });
  };
  const test = (): void => {
    submit.run(async () => {
      await client.POST('/api/v1/webhooks/{webhook_id}/test', { params });
      setSent(sent + 1);
    });
  };
  return (
    <Panel title={data?.name ?? 'Webhook'} label="Webhook" onClose={onClose}>
      {webhook.problem !== null && <ProblemNote problem={webhook.problem} onRetry={webhook.reload} />}
      {data === null && webhook.isLoading && <Loading label="Loading the webhook" />}
      {data !== null && (
        <>
          <Facts of={data} />
          <p class="actions">
            <button type="button" disabled={submit.isRunning} onClick={test}>
              Send a test
            </button>
            <button type="button" disabled={submit.isRunning} onClick={enable}>
              {data.is_enabled ? 'Disable' : 'Enable'}
            </button>
            <button type="button" class="danger" onClick={() => setDeleting(true)}>
              Delete …
            </button>
          </p>
          {submit.problem !== null && <ProblemNote problem={submit.problem} />}
          {!data.is_enabled && <p class="muted">It gets no new events. What is queued waits until it is enabled.</p>}
          <Deliveries webhookId={webhookId} sent={sent} />
          {isDeleting && (
            <DeleteDialog
              of={data}
              onClose={() => setDeleting(false)}
              onDeleted={() => {
                onChanged();
                onClose();
              }}
            />
          )}
        </>
      )}
    </Panel>
  );
}

function Facts({ of: webhook }: { of: Webhook }): JSX.Element {
  const { threshold } = webhook;
  return (
    <FactTable
      facts={[
        ['id', webhook.webhook_id],
        ['state', webhook.is_enabled ? 'enabled' : 'disabled'],
        ['sent to', webhook.url],
        ['events', webhook.events.join(', ')],
        ['threshold', threshold === null ? null : thresholdText(threshold)],
        ['created', webhook.created_at],
      ]}
    />
  );
}

/** Such as `avg temperature of 15m above 30`. */
function thresholdText({ op, key, bucket, compare, subject }: Schemas['ThresholdDto']): string {
  const of = subject === undefined ? '' : ` about ${subject}`;
  const [comparison = '', limit = ''] = Object.entries(compare)[0]?.map(String) ?? [];
  const words = COMPARISONS.find(([name]) => name === comparison)?.[1] ?? comparison;
  return [op, key, `of ${bucket}${of}`, words, limit].filter(Boolean).join(' ');
}

function DeleteDialog(props: { of: Webhook; onClose: () => void; onDeleted: () => void }): JSX.Element {
  const { of: webhook, onClose, onDeleted } = props;
  const { client } = useSession();
  const [typed, setTyped] = useState('');
  const submit = useSubmit();
  const remove = (event: Event): void => {
    event.preventDefault();
    if (typed !== webhook.name) return;
    submit.run(async () => {
      const params = { path: { webhook_id: webhook.webhook_id } };
      await client.DELETE('/api/v1/webhooks/{webhook_id}', { params });
      onDeleted();
    });
  };
  return (
    <Dialog title="Delete a webhook" onClose={onClose}>
      <form class="form" onSubmit={remove}>
        <p>
          The webhook <strong>{webhook.name}</strong> is deleted with its list of deliveries, and what is queued is not
          sent. It cannot be undone.
        </p>
        <ConfirmationField label="Type the name of the webhook to confirm" value={typed} onChange={setTyped} />
        <FormEnd submit={submit} labels={['Delete', 'Deleting']} kind="danger" disabled={typed !== webhook.name} />
      </form>
    </Dialog>
  );
}
