import { API, ApiResult, ROLES, Rules, type Principal, CurrentPrincipal } from '#http';
import { Controller, Get } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { unauthenticated } from './authentication.js';
import { MeDto } from './key.dto.js';
import { KeyStore } from './key.store.js';

@ApiTags('root')
@Controller(`${API}/me`)
export class MeController {
  constructor(private readonly store: KeyStore) {}

  @Get()
  @Rules({ roles: ROLES })
  @ApiOperation({ summary: 'Get the key of this request: its name, role, project, device and expiry' })
  @ApiResult(200, MeDto, { etag: true })
  async getMe(@CurrentPrincipal() { keyId }: Principal): Promise<MeDto> {
    const me = await this.store.findWithProject(keyId);
    // Another process has revoked the key, and the cache of this one has not expired yet.
    if (me === null) throw unauthenticated();
    return me;
  }
}
