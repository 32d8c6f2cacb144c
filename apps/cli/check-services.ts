import { AccessModule } from '#access';
import { IndexBuildStore, IndexCheck, InvertedIndexModule, type IndexReport } from '#inverted-index';
import { Module } from '@nestjs/common';
import { getAccessServices, getProject, listAll, withModule } from './access-services.js';

/** The result of comparing the index of one project with its objects. */
export interface CheckedProject {
  projectId: number;
  name: string;
  report: IndexReport;
  /** Whether the index was built again before this comparison. */
  isRebuilt: boolean;
}

export interface CheckOptions {
  /** The id or name of one project; undefined for all projects. */
  project?: string | undefined;
  repair?: boolean | undefined;
}

@Module({ imports: [AccessModule, InvertedIndexModule] })
class CheckModule {}

/**
 * Compares the inverted index of each project with its objects. With `repair`, an index with differences is built again and then
 * compared a second time.
 * @param report receives each comparison
 * @throws Problem not-found
 */
export function checkProjects(
  { project, repair = false }: CheckOptions,
  report: (checked: CheckedProject) => void,
): Promise<void> {
  return withModule(CheckModule, { leasesLane: false }, async (app) => {
    const access = getAccessServices(app);
    const [check, builds] = [app.get(IndexCheck), app.get(IndexBuildStore)];
    const projects =
      project === undefined ? await listAll((page) => access.projects.list(page)) : [await getProject(access, project)];
    for (const { project_id: projectId, name } of projects) {
      const found = await check.checkProject(projectId);
      report({ projectId, name, report: found, isRebuilt: false });
      if (!repair || found.differenceCount === 0) continue;
      await check.rebuildProject(projectId);
      await builds.buildAll(projectId);
      report({ projectId, name, report: await check.checkProject(projectId), isRebuilt: true });
    }
  });
}
