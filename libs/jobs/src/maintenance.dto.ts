import { ApiProperty } from '@nestjs/swagger';

export class TableSizeDto {
  @ApiProperty({ example: 'jobs' })
  name: string;

  @ApiProperty({
    type: Number,
    nullable: true,
    description: 'The number of rows when PostgreSQL last analyzed the table; null where it has not yet.',
    example: 1042,
  })
  rows_estimated: number | null;

  @ApiProperty({ description: 'The size of the table and its indexes, in bytes.', example: 1351680 })
  size_bytes: number;
}

export class MaintenanceErrorDto {
  @ApiProperty({ format: 'date-time', example: '2026-11-26T10:00:00.000Z' })
  at: string;

  @ApiProperty({ example: 'error: canceling statement due to statement timeout' })
  message: string;
}

export class MaintenanceTaskDto {
  @ApiProperty({ example: 'delete old jobs' })
  name: string;

  @ApiProperty({
    type: String,
    format: 'date-time',
    nullable: true,
    description:
      'Since when the oldest row should have been deleted, by any process; null where none should. Maintenance keeps up while this is less than two minutes ago. Always null for a task that deletes no rows by their age, and for the retention.',
    example: null,
  })
  overdue_since: string | null;

  @ApiProperty({
    type: String,
    format: 'date-time',
    nullable: true,
    description:
      'The last run in the process that responds; null where it runs no jobs (`WORKER=separate`), and before the first run.',
    example: '2026-11-26T10:00:00.000Z',
  })
  last_run_at: string | null;

  @ApiProperty({
    type: Boolean,
    nullable: true,
    description: 'Whether the last run stopped although there was more to do; null without a run.',
    example: false,
  })
  has_more: boolean | null;

  @ApiProperty({
    type: MaintenanceErrorDto,
    nullable: true,
    description: 'The last error in the process that responds, also where a later run succeeded.',
    example: null,
  })
  last_error: MaintenanceErrorDto | null;
}

export class IndexStateDto {
  @ApiProperty({
    description: 'The objects that are not in a segment of the index yet; queries read them one by one.',
    example: 42,
  })
  pending_objects: number;

  @ApiProperty({
    description:
      'The most pending and large objects of one project. Pending objects are indexed at 1,000; beyond 5,000 filters of the project do not use the index.',
    example: 40,
  })
  most_pending_objects: number;

  @ApiProperty({
    description: 'The objects with too many terms for a segment; every filter of their project reads them.',
    example: 0,
  })
  large_objects: number;

  @ApiProperty({ description: 'The segments of all projects.', example: 12 })
  segments: number;

  @ApiProperty({
    description:
      'The projects whose objects are being indexed after an upgrade or a repair. Until then their filters do not use the index.',
    example: 0,
  })
  building_projects: number;
}

export class OlderTransactionDto {
  @ApiProperty({ description: 'Its process of PostgreSQL, as `pg_terminate_backend` takes it.', example: 4711 })
  pid: number;

  @ApiProperty({ type: String, nullable: true, description: 'Its `application_name`.', example: 'stowage api' })
  name: string | null;

  @ApiProperty({
    type: String,
    nullable: true,
    description: 'The address of its client; null for a socket of the machine of PostgreSQL.',
    example: '10.0.0.7',
  })
  address: string | null;

  @ApiProperty({
    type: String,
    nullable: true,
    description: 'Such as `active`, or `idle in transaction` where it waits for its client.',
    example: 'idle in transaction',
  })
  state: string | null;

  @ApiProperty({ format: 'date-time', example: '2026-11-26T09:12:00.000Z' })
  began_at: string;
}

export class EncryptionWaitDto {
  @ApiProperty({ description: 'The projects whose values wait.', example: 1 })
  projects: number;

  @ApiProperty({
    format: 'date-time',
    description: 'Since when the first of them waits: a minute after its change.',
    example: '2026-11-26T10:01:00.000Z',
  })
  since: string;

  @ApiProperty({ type: [OlderTransactionDto], description: 'What they wait for: the oldest 10 transactions.' })
  transactions: OlderTransactionDto[];
}

export class EncryptionStateDto {
  @ApiProperty({
    description:
      'The projects whose stored values are still to be encrypted or decrypted, after their list or the data key was changed.',
    example: 0,
  })
  pending_projects: number;

  @ApiProperty({
    type: String,
    format: 'date-time',
    nullable: true,
    description: 'When the first of these changes was made; null without one.',
    example: null,
  })
  oldest_change_at: string | null;

  @ApiProperty({
    type: [String],
    description: 'The ids of the data keys with which values may be encrypted: a process must have all of them.',
    example: [],
  })
  data_keys: string[];

  @ApiProperty({
    type: EncryptionWaitDto,
    nullable: true,
    description:
      'Transactions that began before a change applied and may still store values in clear text: nothing is encrypted until they end. Null where nothing waits for one.',
    example: null,
  })
  waiting: EncryptionWaitDto | null;
}

export class ReplicaStateDto {
  @ApiProperty({
    enum: ['current', 'behind', 'unavailable'],
    description:
      '`current` while exports, facets, keys and aggregates are read from the replica; `behind` while its data is older than `DATABASE_READ_LAG_MAX_MS`, and `unavailable` while it cannot be used: then they are read from the primary.',
    example: 'current',
  })
  status: 'current' | 'behind' | 'unavailable';

  @ApiProperty({
    type: Number,
    nullable: true,
    description: 'The most milliseconds by which the replica is behind; null where that is not known.',
    example: 420,
  })
  lag_ms: number | null;

  @ApiProperty({ type: String, nullable: true, description: 'Why the replica is unavailable.', example: null })
  error: string | null;
}

export class MaintenanceDto {
  @ApiProperty({ type: [TableSizeDto], description: 'The tables, the largest first.' })
  tables: TableSizeDto[];

  @ApiProperty({
    type: [MaintenanceTaskDto],
    description: 'The tasks that run every minute, and that of the retention, which runs every hour.',
  })
  tasks: MaintenanceTaskDto[];

  @ApiProperty({ description: 'The background work of the inverted index, by any process.' })
  index: IndexStateDto;

  @ApiProperty({ description: 'The encryption of stored values, by any process.' })
  encryption: EncryptionStateDto;

  @ApiProperty({
    type: ReplicaStateDto,
    nullable: true,
    description: 'The replica of `DATABASE_READ_URL`, as the process that responds sees it; null without one.',
  })
  replica: ReplicaStateDto | null;
}
