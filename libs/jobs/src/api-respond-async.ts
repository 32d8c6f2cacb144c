import { ApiResult } from '#http';
import { applyDecorators } from '@nestjs/common';
import { ApiHeader } from '@nestjs/swagger';
import { JobDto } from './job.dto.js';

/** Documents that a route accepts `Prefer: respond-async`. @param more other preferences of the route */
export function ApiRespondAsync(more = ''): MethodDecorator {
  const description = '`respond-async` returns 202 with a job as soon as the request is stored durably.' + more;
  return applyDecorators(
    ApiHeader({ name: 'Prefer', required: false, description }),
    ApiResult(202, JobDto, { location: true, description: 'Accepted; Location is the URL of the job.' }),
  );
}
