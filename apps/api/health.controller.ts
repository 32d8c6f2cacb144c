import { ApiResult, Problem, ApiProblems, Rules } from '#http';
import { Database } from '#database';
import { EncryptedKeys } from '#encryption';
import { Controller, Get } from '@nestjs/common';
import { ApiOperation, ApiProperty, ApiTags } from '@nestjs/swagger';

/** A database that takes longer for `SELECT 1` gets no requests. */
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
    private readonly database: Database,
    private readonly encryption: EncryptedKeys,
  ) {}

  @Get('health/live')
  @Rules({ roles: 'anyone' })
  @ApiOperation({ summary: 'Report whether the process runs; restart it when this fails' })
  @ApiResult(200, HealthDto)
  getLiveness(): HealthDto {
    return { status: 'ok', details: {} };
  }

  @Get('health/ready')
  @Rules({ roles: 'anyone' })
  @ApiOperation({ summary: 'Report whether requests can be served; send none while this fails' })
  @ApiResult(200, HealthDto)
  @ApiProblems('unavailable')
  getReadiness(): Promise<HealthDto> {
    return this.checkHealth();
  }

  @Get('healthcheck')
  @Rules({ roles: 'anyone' })
  @ApiOperation({ summary: 'Same as /health/ready' })
  @ApiResult(200, HealthDto)
  @ApiProblems('unavailable')
  getHealth(): Promise<HealthDto> {
    return this.checkHealth();
  }

  /** @throws Problem unavailable */
  private async checkHealth(): Promise<HealthDto> {
    await this.pingDatabase();
    const { missingKeys } = this.encryption;
    if (missingKeys.length === 0) return { status: 'ok', details: { database: { status: 'up' } } };
    throw new Problem('unavailable', {
      detail: 'A data key is missing.',
      extra: { details: { database: { status: 'up' }, data_keys: { status: 'down', missing: missingKeys } } },
    });
  }

  /** @throws Problem unavailable when the database does not respond within PING_TIMEOUT_MS */
  private async pingDatabase(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(new Error(`no response within ${String(PING_TIMEOUT_MS)} ms`));
      }, PING_TIMEOUT_MS);
    });
    try {
      await Promise.race([this.database.reserved.query('SELECT 1'), timeout]);
    } catch (cause) {
      throw new Problem('unavailable', {
        detail: 'The database does not respond.',
        extra: { details: { database: { status: 'down' } } },
        cause,
      });
    } finally {
      clearTimeout(timer);
    }
  }
}
