import { ApiResult, Problem, ApiProblems, Rules } from '#http';
import { Database } from '#database';
import { Controller, Get } from '@nestjs/common';
import { ApiOperation, ApiProperty, ApiTags } from '@nestjs/swagger';
import { HealthCheckService, type HealthCheckResult, type HealthIndicatorResult } from '@nestjs/terminus';

/** A database that needs longer for `SELECT 1` takes no requests. */
const PING_TIMEOUT_MS = 2_000;

class HealthDto {
  @ApiProperty({ example: 'ok' })
  status: string;

  @ApiProperty({ type: Object, example: { database: { status: 'up' } } })
  details: object;
}

@ApiTags('operations')
@Controller()
export class HealthController {
  constructor(
    private readonly health: HealthCheckService,
    private readonly database: Database,
  ) {}

  @Get('health/live')
  @Rules({ roles: 'anyone' })
  @ApiOperation({ summary: 'Whether the process runs; a failing one is to be restarted' })
  @ApiResult(200, HealthDto)
  live(): Promise<HealthDto> {
    return this.report([]);
  }

  @Get('health/ready')
  @Rules({ roles: 'anyone' })
  @ApiOperation({ summary: 'Whether requests can be served; a failing one is to get none' })
  @ApiResult(200, HealthDto)
  @ApiProblems('unavailable')
  ready(): Promise<HealthDto> {
    return this.report([() => this.ping()]);
  }

  @Get('healthcheck')
  @Rules({ roles: 'anyone' })
  @ApiOperation({ summary: 'The same as /health/ready' })
  @ApiResult(200, HealthDto)
  @ApiProblems('unavailable')
  check(): Promise<HealthDto> {
    return this.report([() => this.ping()]);
  }

  private async report(checks: (() => Promise<HealthIndicatorResult>)[]): Promise<HealthDto> {
    const result: HealthCheckResult = await this.health.check(checks);
    return { status: result.status, details: result.details };
  }

  private async ping(): Promise<HealthIndicatorResult> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(new Error('no answer in time'));
      }, PING_TIMEOUT_MS);
    });
    try {
      await Promise.race([this.database.query('SELECT 1'), late]);
      return { database: { status: 'up' } };
    } catch (cause) {
      throw new Problem('unavailable', {
        detail: 'The database does not answer.',
        extra: { details: { database: { status: 'down' } } },
        cause,
      });
    } finally {
      clearTimeout(timer);
    }
  }
}
