import type { Filter } from '#filter';
import { PageTrace, type PageStep, type TracedStatement } from '#database';
import { type InputPlace, type PageRequest, type Principal, Problem } from '#http';
import { UNUSABLE_REASONS } from '#inverted-index';
import { ApiProperty } from '@nestjs/swagger';
import type { ObjectSort } from './object-sort.js';

const REASONS = Object.entries(UNUSABLE_REASONS).map(([reason, meaning]) => `\`${reason}\` (${meaning})`);

class StatementDto implements TracedStatement {
  @ApiProperty({ description: 'The statement, without its values.', example: 'SELECT …' })
  sql: string;

  @ApiProperty({ description: 'The rows that it returned.', example: 11 })
  rows: number;

  @ApiProperty({
    description: 'Milliseconds until its rows were read, waiting for a connection included.',
    example: 1.4,
  })
  ms: number;
}

/** How a page was read, with `explain=true`. */
export class PageExplanationDto {
  @ApiProperty({
    type: Object,
    description: 'The filter as it was understood: a tree of conditions.',
    example: { kind: 'and', of: [{ kind: 'batch', batchId: 'spring-shoes' }] },
  })
  filter: Filter;

  @ApiProperty({
    type: Object,
    nullable: true,
    description: 'The order as it was understood; null for newest first.',
    example: null,
  })
  sort: ObjectSort | null;

  @ApiProperty({
    type: [Object],
    description: `What was done, in order, each step with its numbers. \`inverted_index\`: segments of the index were searched, at most \`segments_max\`; \`scan\`: the next objects were compared; \`gin_index\`: the GIN index; \`sorted_blocks\`, \`sort_matches\` and \`column_index\`: for sorted lists. A step with \`is_usable: false\` did not find the page by the index, and has its \`reasons\`: ${REASONS.join(', ')}.`,
    example: [{ step: 'inverted_index', segments_max: 4, searched: 20000, matches: 993, is_exact: true }],
  })
  steps: PageStep[];

  @ApiProperty({ type: [StatementDto] })
  statements: TracedStatement[];

  @ApiProperty({ description: 'Milliseconds for all of it.', example: 3.2 })
  ms: number;
}

/** @throws Problem forbidden unless the principal is an admin */
export function requireAdminToExplain({ role }: Principal, place: InputPlace): void {
  if (role === 'admin') return;
  const detail = 'is for the role admin';
  const location = place === 'query' ? { parameter: 'explain' } : { pointer: '/explain' };
  throw new Problem('forbidden', { detail: `explain ${detail}.`, errors: [{ ...location, detail }] });
}

/** The same page, whose queries are recorded. */
export function tracedPage(page: PageRequest, trace: PageTrace): PageRequest {
  const { on, countOn } = page;
  return { ...page, trace, on: on && trace.recorded(on), countOn: countOn && trace.recorded(countOn) };
}

/** Adds the member `explain` to the JSON text of a page. */
export function withExplanation(text: string, trace: PageTrace, filter: Filter, sort: ObjectSort | null): string {
  const { steps, statements, ms } = trace;
  const explanation: PageExplanationDto = { filter, sort, steps, statements, ms };
  return `${text.slice(0, -1)},"explain":${JSON.stringify(explanation)}}`;
}
