import { ChoiceField, PageQuery, pageOf, ProblemDto } from '#http';
import { timeOfSeq } from '#database';
import { ApiProperty } from '@nestjs/swagger';
import { JOB_STATUSES, type JobRow, type JobStatus } from './job.store.js';

export class JobListQuery extends PageQuery {
  @ChoiceField({ optional: true, choices: JOB_STATUSES, description: 'Only jobs in this state.' })
  status?: JobStatus;
}

/** A job in a list. */
class JobItemDto {
  @ApiProperty({
    description: 'Assigned by the server; jobs accepted later have greater ids.',
    example: '378104958201857',
  })
  id: string;

  @ApiProperty({
    enum: JOB_STATUSES,
    description: '`queued` also while a job waits for its next attempt after a server error.',
    example: 'succeeded',
  })
  status: JobStatus;

  @ApiProperty({
    description: 'Number of attempts since it was accepted or an admin retried it.',
    example: 1,
  })
  attempts: number;

  @ApiProperty({ format: 'date-time', description: 'When it was accepted.', example: '2024-12-10T16:45:00.000Z' })
  created_at: string;

  @ApiProperty({
    type: String,
    format: 'date-time',
    nullable: true,
    description: 'When it succeeded or failed; null before.',
    example: '2024-12-10T16:45:00.123Z',
  })
  finished_at: string | null;

  @ApiProperty({
    type: 'integer',
    required: false,
    description:
      'For a job that succeeded: the HTTP status of the response that the request would have had without ' +
      'respond-async. 201 if it created data, 200 if it replaced or deleted data, changed nothing or was a dry run, 207 if it stored a ' +
      'part.',
    example: 201,
  })
  result_status?: number;

  @ApiProperty({ format: 'uri', example: 'http://127.0.0.1:8000/api/v1/jobs/378104958201857' })
  url: string;

  @ApiProperty({
    type: ProblemDto,
    required: false,
    description: 'For a failed job: the problem that the request would have had as its response.',
  })
  problem?: ProblemDto;
}

export class JobDto extends JobItemDto {
  @ApiProperty({
    required: false,
    description: 'For a job that succeeded: the body of the response that the request would have had.',
  })
  result?: unknown;
}

export class JobPageDto extends pageOf(JobItemDto) {}

/** A job as JSON text. Its result is inserted as stored, so numbers keep every digit. */
export function jobText(base: string, row: JobRow): string {
  const { seq, status, attempts, finished_at, result, problem } = row;
  const result_status = row.result_status ?? undefined;
  const job = {
    id: seq,
    status,
    attempts,
    created_at: timeOfSeq(seq),
    finished_at,
    result_status,
    url: jobUrl(base, seq),
  };
  const members = JSON.stringify(job).slice(0, -1);
  const ending = problem !== null ? `,"problem":${problem}` : result == null ? '' : `,"result":${result || 'null'}`;
  return `${members}${ending}}`;
}

export function jobUrl(base: string, jobId: string): string {
  return `${base}/jobs/${jobId}`;
}
