import type { JSX } from 'preact';
import type { Problem } from '../api/client.js';
import { isJsonObject, toJson } from '../api/json.js';
import { queryText } from '../api/parameters.js';
import { useSubmit } from '../api/use-submit.js';
import { useSession } from '../session.js';
import { CopyButton } from '../ui/copy-button.js';
import { Panel } from '../ui/panel.js';
import { Loading, ProblemNote } from '../ui/states.js';
import { TimeText } from '../ui/time-text.js';
import { StatusText } from './status-text.js';
import { isOpen, type Job } from './types.js';

interface Props {
  jobId: string;
  /** Null until it is loaded. */
  job: Job | null;
  /** Why it could not be loaded. */
  problem: Problem | null;
  onClose: () => void;
  onReload: () => void;
}

/** One job with its result or its problem. */
export function JobPanel({ jobId, job, problem, onClose, onReload }: Props): JSX.Element {
  return (
    <Panel title={`Job ${jobId}`} label={`Job ${jobId}`} onClose={onClose}>
      {problem !== null && <ProblemNote problem={problem} onRetry={onReload} />}
      {job === null && problem === null && <Loading label="Loading the job" />}
      {job !== null && (
        <>
          <Facts job={job} />
          {job.status === 'failed' && <Failure job={job} onRetried={onReload} />}
          {job.status === 'succeeded' && <Result job={job} />}
          {isOpen(job) && <p class="muted">The result appears here when the job has ended.</p>}
        </>
      )}
    </Panel>
  );
}

function Facts({ job }: { job: Job }): JSX.Element {
  const { status, attempts, created_at, finished_at, result_status } = job;
  return (
    <table class="pairs">
      <tbody>
        <tr>
          <th scope="row">state</th>
          <td>
            <StatusText status={status} />
          </td>
        </tr>
        <tr>
          <th scope="row">attempts</th>
          <td>{attempts}</td>
        </tr>
        <tr>
          <th scope="row">accepted (UTC)</th>
          <td>
            <TimeText time={created_at} />
          </td>
        </tr>
        {finished_at !== null && (
          <tr>
            <th scope="row">finished (UTC)</th>
            <td>
              <TimeText time={finished_at} />
            </td>
          </tr>
        )}
        {result_status !== undefined && (
          <tr>
            <th scope="row">HTTP status</th>
            <td>{result_status}</td>
          </tr>
        )}
      </tbody>
    </table>
  );
}

/** The problem of a dead letter; an admin can retry it. */
function Failure({ job, onRetried }: { job: Job; onRetried: () => void }): JSX.Element {
  const { client, me } = useSession();
  const submit = useSubmit();
  const retry = (): void => {
    submit.run(async () => {
      await client.POST('/api/v1/jobs/{job_id}/retry', { params: { path: { job_id: job.id } } });
      onRetried();
    });
  };
  return (
    <>
      {job.problem !== undefined && <ProblemNote problem={job.problem} />}
      {(me.role === 'admin' || me.role === 'operator') && (
        <p class="actions">
          <button type="button" class="primary" disabled={submit.isRunning} onClick={retry}>
            {submit.isRunning ? 'Retrying …' : 'Retry'}
          </button>
          <span class="muted">Runs the request again, with its body as it was sent.</span>
        </p>
      )}
      {submit.problem !== null && <ProblemNote problem={submit.problem} />}
    </>
  );
}

function Result({ job: { result } }: { job: Job }): JSX.Element {
  const { me } = useSession();
  const json = toJson(result, 2);
  const batchId = isJsonObject(result) ? result['batch_id'] : undefined;
  const canRead = me.role === 'admin' || me.role === 'analyst';
  return (
    <section>
      <h3>Result</h3>
      <pre tabIndex={0}>{json}</pre>
      <p class="actions">
        <CopyButton label="Copy JSON" text={json} />
        {canRead && typeof batchId === 'string' && (
          <a class="button" href={`/browse/batches${queryText({ batch: batchId })}`}>
            Show the batch
          </a>
        )}
      </p>
    </section>
  );
}
