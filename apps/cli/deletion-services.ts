import { API } from '#http';
import { COMMAND_LINE } from '#audit';
import { DeletionModule, ProjectDeletion, type DeletionResult } from '#deletion';
import { OperatorJobs } from '#jobs';
import { getAccessServices, getProjectId, withModule } from './access-services.js';
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
 * @throws UsageError without `yes`
 * @throws Problem not-found; project-not-empty unless `cascade`
 */
export function deleteProject(
  nameOrId: string,
  { cascade = false, yes = false }: DeleteOptions,
): Promise<DeletionResult> {
  return withModule(DeletionModule, { leasesLane: true }, async (app) => {
    const access = getAccessServices(app);
    const projectId = await getProjectId(access, nameOrId);
    if (!yes) {
      const objects = (await access.usage.find(projectId))?.objects ?? 0;
      throw new UsageError(
        `project ${String(projectId)} has ${String(objects)} objects; --yes deletes it with its keys and devices`,
      );
    }
    const instance = `${API}/projects/${String(projectId)}`;
    const request = { actor: COMMAND_LINE, baseUrl: API, instance, requestId: '' };
    const job = await app.get(ProjectDeletion).delete(String(projectId), { cascade }, request);
    printMessage(`deleted project ${String(projectId)}; deleting its rows (job ${job.jobId})`);
    const { result, problem } = await app.get(OperatorJobs).run(job, WORKER_ID);
    if (result == null) throw new Error(`job ${job.jobId} has failed: ${String(problem)}`);
    return JSON.parse(result) as DeletionResult;
  });
}
