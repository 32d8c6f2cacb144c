import type { JSX } from 'preact';
import type { Query } from '../api/client.js';
import { curlText, given, urlText } from '../api/parameters.js';
import { useGet } from '../api/use-get.js';
import { PAGE_SIZE, usePages } from '../api/use-pages.js';
import { useQuery } from '../query.js';
import { useSession } from '../session.js';
import { CopyButton } from '../ui/copy-button.js';
import { CountText } from '../ui/count-text.js';
import { PagedList } from '../ui/paged-list.js';
import { Empty } from '../ui/states.js';
import { TimeText } from '../ui/time-text.js';
import { JobPanel } from './job-panel.js';
import './jobs.css';
import { StatusText } from './status-text.js';
import { isOpen, JOB_STATUSES, type ListedJob } from './types.js';
import { usePolling } from './use-polling.js';

const PARAMETERS = ['status', 'job'] as const;
const FILTERS = [[null, 'all'] as const, ...JOB_STATUSES.map((status) => [status, status] as const)];

/** The jobs that the key may see, newest first, and one job. Refreshes itself while a job of the list can still change. */
export function JobsPage(): JSX.Element {
  const { me } = useSession();
  const [query, change] = useQuery(PARAMETERS);
  // The server says what is wrong with a state of the URL.
  const filter = given({ status: query.status }) as Query<'listJobs'>;
  const pages = usePages('/api/v1/jobs', { query: filter });
  const loaded = useGet(query.job === undefined ? null : '/api/v1/jobs/{job_id}', {
    path: { job_id: query.job ?? '' },
  });
  const job = loaded.data?.id === query.job ? loaded.data : null;
  // A list of several pages would lose those after the first.
  const isOnePage = pages.items.length <= PAGE_SIZE;
  const isJobOpen = job !== null && isOpen(job);
  const { isPolling, restart } = usePolling((isOnePage && pages.items.some(isOpen)) || isJobOpen, () => {
    if (isOnePage) pages.reload();
    if (isJobOpen) loaded.reload();
  });
  const refresh = (): void => {
    restart();
    pages.reload();
    if (query.job !== undefined) loaded.reload();
  };
  return (
    <main id="main" class="list-page">
      <h1>Jobs</h1>
      <p class="muted">{SUBJECTS[me.role] ?? 'Requests with “Prefer: respond-async” of this project.'}</p>
      <div class="actions" role="group" aria-label="State">
        {FILTERS.map(([status, words]) => (
          <button
            key={words}
            type="button"
            aria-pressed={(query.status ?? null) === status}
            onClick={() => change({ status, job: null })}
          >
            {words}
          </button>
        ))}
      </div>
      <div class="toolbar">
        <CountText count={pages.count} one="job" many="jobs" />
        {isPolling && <span class="muted">Refreshed every 2 s until all have ended</span>}
        <button type="button" onClick={refresh}>
          Refresh
        </button>
        <CopyButton label="Copy as curl" text={curlText('/api/v1/jobs', filter)} />
        <CopyButton label="Copy as URL" text={urlText('/api/v1/jobs', filter)} />
      </div>
      <PagedList pages={pages} name="jobs" empty={<NoJobs status={query.status} />}>
        {(jobs) => <JobTable jobs={jobs} onOpen={(job) => change({ job })} />}
      </PagedList>
      {query.job !== undefined && (
        <JobPanel
          key={query.job}
          jobId={query.job}
          job={job}
          problem={loaded.isLoading ? null : loaded.problem}
          onClose={() => change({ job: null })}
          onReload={refresh}
        />
      )}
    </main>
  );
}

const SUBJECTS: Partial<Record<string, string>> = {
  operator: 'Jobs of the installation, which delete projects.',
  producer: 'Requests with “Prefer: respond-async” of this key.',
  device: 'Requests with “Prefer: respond-async” of this device.',
};

function NoJobs({ status }: { status: string | undefined }): JSX.Element {
  return (
    <Empty title={status === undefined ? 'There are no jobs' : `There are no ${status} jobs`}>
      {status === undefined && <p>A request with the header “Prefer: respond-async” becomes a job.</p>}
    </Empty>
  );
}

function JobTable(props: { jobs: readonly ListedJob[]; onOpen: (jobId: string) => void }): JSX.Element {
  const { jobs, onOpen } = props;
  return (
    <table class="list jobs">
      <thead>
        <tr>
          <th scope="col">Job</th>
          <th scope="col">State</th>
          <th scope="col">Result</th>
          <th scope="col" class="number">
            Attempts
          </th>
          <th scope="col">Accepted (UTC)</th>
          <th scope="col">Finished (UTC)</th>
        </tr>
      </thead>
      <tbody>
        {jobs.map((job) => (
          <tr key={job.id}>
            <td>
              <button type="button" class="plain link" onClick={() => onOpen(job.id)}>
                {job.id}
              </button>
            </td>
            <td>
              <StatusText status={job.status} />
            </td>
            <td>{job.problem?.title ?? job.result_status ?? ''}</td>
            <td class="number">{job.attempts}</td>
            <td>
              <TimeText time={job.created_at} />
            </td>
            <td>{job.finished_at !== null && <TimeText time={job.finished_at} />}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
