/**
 * The age of the last part of an upload without a job, whose server has died. One that arrives has a part every few minutes, because of
 * the minimum rate of bodies, also where it lasts for days; one that has arrived is read within minutes.
 */
const ABANDONED_AFTER = `interval '1 hour'`;

/** Uploads deleted by one statement; each may have thousands of parts. */
const UPLOADS = 100;

/**
 * Deletes abandoned uploads of all projects, or of project $1. Reads all stored parts of these. Returns the number of uploads that it
 * found, which another process may have deleted at the same time, and whether there are more.
 */
export function deleteAbandonedSql(of: 'all projects' | 'project $1'): string {
  const condition = of === 'project $1' ? 'AND p.project_id = $1' : '';
  return `
    WITH abandoned AS MATERIALIZED (
      SELECT p.project_id, p.job_id FROM job_parts AS p
      WHERE NOT EXISTS (SELECT FROM jobs AS j WHERE j.project_id = p.project_id AND j.job_id = p.job_id) ${condition}
      GROUP BY p.project_id, p.job_id HAVING max(p.kept_at) < now() - ${ABANDONED_AFTER} LIMIT ${String(UPLOADS)}
    ),
    deleted AS (
      DELETE FROM job_parts AS p USING abandoned AS a WHERE p.project_id = a.project_id AND p.job_id = a.job_id ${condition}
    )
    SELECT count(*)::int AS found, count(*) >= ${String(UPLOADS)} AS has_more FROM abandoned`;
}
