import {
  distribute,
  distributionStatements,
  planMigrations,
  readDistributionState,
  type MigrationPlan,
  type PlannedMigration,
  type StatementEffect,
} from '#database';
import { withInstallation } from './with-installation.js';

type Say = (line: string) => void;

/** Brings the schema up to date. @param isCluster whether the tables of data are then distributed over the machines of a cluster */
export async function runMigrations(say: Say, isCluster: boolean): Promise<void> {
  // Opening an installation runs its pending migrations and prints how many there were.
  const use = { say, leasesLane: false, createsDatabase: true, pendingMigrations: 'run' } as const;
  await withInstallation(use, async ({ database }) => {
    if (isCluster) await distribute(database, say);
    say('the database is up to date');
  });
}

/** Prints the migrations and the statements that would run, and changes nothing. */
export async function printPlan(say: Say, isCluster: boolean): Promise<void> {
  const use = { say, leasesLane: false, createsDatabase: false, pendingMigrations: 'ignore' } as const;
  await withInstallation(use, async ({ database }) => {
    const plan = await planMigrations(database);
    for (const line of planLines(plan)) say(line);
    if (!isCluster) return;
    for (const statement of distributionStatements(await readDistributionState(database))) say(statement);
    if (plan.migrations.length > 0) say('and the same for the tables of data that the pending migrations create');
  });
}

function planLines({ migrations, queue }: MigrationPlan): string[] {
  if (migrations.length === 0 && queue === null) return ['the database is up to date'];
  const count = migrations.length === 1 ? '1 migration' : `${String(migrations.length)} migrations`;
  return [`${count} would run; nothing was changed`, ...migrations.flatMap(migrationLines), ...queueLines(queue)];
}

/** The tables of the job queue belong to graphile-worker, so the effects of its migrations are not known. */
function queueLines(queue: MigrationPlan['queue']): string[] {
  if (queue === null) return [];
  return [
    `the job queue: from migration ${String(queue.from)} to ${String(queue.to)} (earlier servers cannot start again)`,
  ];
}

function migrationLines({ name, phase, effects }: PlannedMigration): string[] {
  const beside = phase === 'expand' ? 'earlier servers may run' : 'stop earlier servers first';
  return [`${name} (${phase}: ${beside})`, ...effects.map((effect) => `  ${effectLine(effect)}`)];
}

function effectLine({ command, table, lock, work }: StatementEffect): string {
  if (lock === null) return `${command}: a new table`;
  const whole = work === null ? '' : `, ${work} its rows`;
  return `${command}: ${lock} lock of ${table}${whole}`;
}
