import { ApiResult } from '#http';
import { applyDecorators } from '@nestjs/common';
import { ApiHeader } from '@nestjs/swagger';
import { JobDto } from './job.dto.js';

/** Documents that a handler takes `Prefer: respond-async`. @param more what else it takes in Prefer */
export function MayRunLater(more = ''): MethodDecorator {
  const description = '`respond-async` answers 202 with a job, as soon as the request is on disk.' + more;
  return applyDecorators(
    ApiHeader({ name: 'Prefer', required: false, description }),
    ApiResult(202, JobDto, { location: true, description: 'Accepted; the job at Location tells what comes of it.' }),
  );
}
