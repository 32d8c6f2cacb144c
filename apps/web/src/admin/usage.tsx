import type { JSX } from 'preact';
import { useGet } from '../api/use-get.js';
import { useSession } from '../session.js';
import { sizeText } from '../ui/size-text.js';
import { Loading, ProblemNote } from '../ui/states.js';

/** From here on a limit is marked. */
const NEAR_PERCENT = 90;

/** What the project stores, against its limits, and for how long. */
export function UsageView(): JSX.Element {
  const { me } = useSession();
  const usage = useGet('/api/v1/usage');
  const path = { project_id: String(me.project?.project_id) };
  const days = useGet(me.project === null ? null : '/api/v1/projects/{project_id}', { path }).data?.retention_days;
  if (usage.problem !== null) return <ProblemNote problem={usage.problem} onRetry={usage.reload} />;
  if (usage.data === null) return <Loading label="Loading the usage" />;
  const { objects, bytes, requests, limits } = usage.data;
  return (
    <>
      <UsageBar title="Objects" used={objects} limit={limits.objects} textOf={(count) => count.toLocaleString('en')} />
      <UsageBar title="Data of the objects" used={bytes} limit={limits.bytes} textOf={sizeText} />
      <section class="usage">
        <h2>Requests</h2>
        <p>{requests.toLocaleString('en')} so far</p>
      </section>
      <section class="usage">
        <h2>Retention</h2>
        <p>
          {days === undefined && '…'}
          {days === null && 'Objects are kept for ever'}
          {typeof days === 'number' && `Objects are deleted ${days.toLocaleString('en')} days after they were observed`}
        </p>
      </section>
      <p class="muted">
        A write that would exceed a limit is rejected. The operator sets the limits and the retention.{' '}
        <a href="/guides/operations/projects#usage-and-quotas">How usage is counted</a>
      </p>
    </>
  );
}

function UsageBar(props: {
  title: string;
  used: number;
  limit: number | null;
  textOf: (count: number) => string;
}): JSX.Element {
  const { title, used, limit, textOf } = props;
  const percent = limit === null ? null : limit === 0 ? 100 : Math.round((100 * used) / limit);
  return (
    <section class="usage">
      <h2>{title}</h2>
      <p>
        {textOf(used)}{' '}
        {limit === null ? <span class="muted">without a limit</span> : `of ${textOf(limit)} (${String(percent)} %)`}
      </p>
      {percent !== null && (
        <div
          class="usage-track"
          role="meter"
          aria-label={title}
          aria-valuemin={0}
          aria-valuemax={100}
          aria-valuenow={Math.min(100, percent)}
        >
          <div
            class={percent >= NEAR_PERCENT ? 'usage-bar near' : 'usage-bar'}
            style={{ width: `${String(Math.min(100, percent))}%` }}
          />
        </div>
      )}
    </section>
  );
}
