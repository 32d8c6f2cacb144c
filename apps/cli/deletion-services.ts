import { API } from '#http';
import { COMMAND_LINE } from '#audit';
import { contentsText, DeletionModule, ProjectDeletion, type DeletionResult } from '#deletion';
import { OperatorJobs } from '#jobs';
import { getAccessServices, getProject, withModule } from './access-services.js';
import { printMessage } from './output.js';
import { UsageError } from './usage-error.js';

/** The name under which the command runs the job. */
const WORKER_ID = 'command line';

export interface DeleteOptions {
  cascade?: boolean;
  yes?: boolean;
}

/**
 * Deletes a project, and then its rows in this process, because there may be no worker. If the command is interrupted, a worker
 * continues.
 * @throws UsageError without `yes`, or without `cascade` for a project with batches
 * @throws Problem not-found
 */
export function deleteProject(
  nameOrId: string,
  { cascade = false, yes = false }: DeleteOptions,
): Promise<DeletionResult> {
  return withModule(DeletionModule, { leasesLane: true }, async (app) => {
    const deletion = app.get(ProjectDeletion);
    const { project_id: projectId, name } = await getProject(getAccessServices(app), nameOrId);
    const contents = await deletion.count(projectId);
    const isEmpty = contents.batches + contents.objects === 0;
    const missing = [...(cascade || isEmpty ? [] : ['--cascade']), ...(yes ? [] : ['--yes'])];
    if (missing.length > 0) {
      const project = `project ${String(projectId)} "${name}"`;
      const options = missing.join(' and ');
      throw new UsageError(
        `${project} has ${contentsText(contents)}; to delete all of it with its keys and devices, add ${options}`,
      );
    }
    const instance = `${API}/projects/${String(projectId)}`;
    const request = { actor: COMMAND_LINE, baseUrl: API, instance, requestId: '' };
    const job = await deletion.delete(String(projectId), { cascade }, request);
    printMessage(`deleted project ${String(projectId)} "${name}"; deleting its rows (job ${job.jobId})`);
    const { result, problem } = await app.get(OperatorJobs).run(job, WORKER_ID);
    if (result == null) throw new Error(`job ${job.jobId} has failed: ${String(problem)}`);
    return JSON.parse(result) as DeletionResult;
  });
}
