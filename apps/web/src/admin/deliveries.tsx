import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { Query, Schemas } from '../api/client.js';
import { given } from '../api/parameters.js';
import { PAGE_SIZE, usePages } from '../api/use-pages.js';
import { useSubmit } from '../api/use-submit.js';
import { StatusText } from '../jobs/status-text.js';
import { usePolling } from '../jobs/use-polling.js';
import { useSession } from '../session.js';
import { CountText } from '../ui/count-text.js';
import { PagedList } from '../ui/paged-list.js';
import { ProblemNote } from '../ui/states.js';
import { TimeText } from '../ui/time-text.js';

type Delivery = Schemas['DeliveryDto'];
type Status = NonNullable<Query<'listDeliveries'>['status']>;

const FILTERS: readonly (Status | undefined)[] = [undefined, 'queued', 'delivered', 'failed'];

/**
 * What was sent to a webhook, newest first; failed deliveries can be retried, one or all. Refreshes itself while one waits for its next attempt.
 * @param props.sent changes when something was sent
 */
export function Deliveries({ webhookId, sent }: { webhookId: string; sent: number }): JSX.Element {
  const { client } = useSession();
  const [status, setStatus] = useState<Status | undefined>();
  const path = { webhook_id: webhookId };
  const pages = usePages('/api/v1/webhooks/{webhook_id}/deliveries', { path, query: given({ status }) });
  const submit = useSubmit();
  // A list of several pages would lose those after the first.
  const isOnePage = pages.items.length <= PAGE_SIZE;
  const { restart } = usePolling(isOnePage && pages.items.some(({ due_at: dueAt }) => dueAt !== null), pages.reload);
  useEffect(() => {
    if (sent === 0) return;
    restart();
    pages.reload();
  }, [sent]);
  const retry = (send: () => Promise<unknown>): void => {
    submit.run(async () => {
      await send();
      restart();
      pages.reload();
    });
  };
  const retryOne = (deliveryId: string): void => {
    const params = { path: { ...path, delivery_id: deliveryId } };
    retry(() => client.POST('/api/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/retry', { params }));
  };
  const retryAll = (): void => {
    retry(() => client.POST('/api/v1/webhooks/{webhook_id}/deliveries/retry', { params: { path } }));
  };
  return (
    <section>
      <h3>Deliveries of the last 30 days</h3>
      <div class="actions" role="group" aria-label="State of the deliveries">
        {FILTERS.map((one) => (
          <button key={one ?? ''} type="button" aria-pressed={one === status} onClick={() => setStatus(one)}>
            {one ?? 'all'}
          </button>
        ))}
        <CountText count={pages.count} one="delivery" many="deliveries" />
      </div>
      {status === 'failed' && pages.items.length > 0 && (
        <p class="actions">
          <button type="button" disabled={submit.isRunning} onClick={retryAll}>
            Retry all
          </button>
        </p>
      )}
      {submit.problem !== null && <ProblemNote problem={submit.problem} />}
      <PagedList
        pages={pages}
        name="deliveries"
        empty={<p class="muted">{status === undefined ? 'Nothing was sent yet.' : `No delivery is ${status}.`}</p>}
      >
        {(deliveries) => (
          <table class="list">
            <thead>
              <tr>
                <th scope="col">Event, time in UTC</th>
                <th scope="col">State</th>
              </tr>
            </thead>
            <tbody>
              {deliveries.map((delivery) => (
                <tr key={delivery.delivery_id}>
                  <td>
                    {delivery.event}
                    <div class="muted">
                      <TimeText time={delivery.created_at} />
                    </div>
                  </td>
                  <td>
                    <StatusText status={delivery.status} />
                    <div class="muted">{resultText(delivery)}</div>
                    {delivery.status === 'failed' && (
                      <button type="button" disabled={submit.isRunning} onClick={() => retryOne(delivery.delivery_id)}>
                        Retry
                      </button>
                    )}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </PagedList>
    </section>
  );
}

/** Of the last attempt, and when the next one is due. */
function resultText({ attempts, response_status: status, error, due_at: dueAt }: Delivery): string {
  const result = status === null ? error : `HTTP status ${String(status)}`;
  const count = attempts > 1 ? `${String(attempts)} attempts` : null;
  const next = dueAt === null || attempts === 0 ? null : `again at ${dueAt.slice(11, 19)}`;
  return [result, count, next].filter((part) => part !== null).join(', ');
}
