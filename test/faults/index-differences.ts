import type { PostgresAddress } from '#database';
import { IndexCheck } from '#inverted-index';
import { openDatabase } from '../harness/database.js';

/** Compares the index of every project with its objects. @returns the first differences of each project, as sentences */
export async function findIndexDifferences(at: PostgresAddress): Promise<string[]> {
  const database = await openDatabase(at);
  try {
    const check = new IndexCheck(database);
    const projects = await database.query<{ project_id: number }>('SELECT project_id FROM projects');
    const found: string[] = [];
    for (const { project_id: projectId } of projects) {
      const { differences } = await check.checkProject(projectId);
      found.push(
        ...differences.map(
          ({ seq, detail }) => `index of project ${String(projectId)}, object ${String(seq)}: ${detail}`,
        ),
      );
    }
    return found;
  } finally {
    await database.close();
  }
}
