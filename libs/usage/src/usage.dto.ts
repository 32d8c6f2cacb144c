import { ApiProperty } from '@nestjs/swagger';

export class UsageLimitsDto {
  @ApiProperty({
    type: Number,
    nullable: true,
    description: 'The largest number of objects; null for none.',
    example: null,
  })
  objects: number | null;

  @ApiProperty({ type: Number, nullable: true, description: 'The largest `bytes`; null for none.', example: null })
  bytes: number | null;
}

export class UsageDto {
  @ApiProperty({ description: 'The number of objects in the project, exact.', example: 30000 })
  objects: number;

  @ApiProperty({
    description:
      'The size of the `data` of all objects as JSON text, in bytes, exact. An object counts with its data as it was sent, in the form of a list of pairs. Keys, ids and indexes do not count.',
    example: 5238961,
  })
  bytes: number;

  @ApiProperty({
    description:
      'The number of requests with a key of the project, whatever their response. An estimate: a request is counted within about 5 seconds, a crash of a server loses the count of its last seconds, and a connection to the database that is lost while a count is stored can count it twice.',
    example: 1042,
  })
  requests: number;

  @ApiProperty({ type: UsageLimitsDto })
  limits: UsageLimitsDto;
}
