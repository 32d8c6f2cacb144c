import { jsonBodyOf, type Write } from '#jobs';
import { readBody } from '#platform';
import type { FeedPlan } from '#warehouse';
import { NewVisitDto } from './doors.dto.js';
import { toObject } from './visit.js';

/** So many went through the door; said again of the same hour, it counts instead. @throws Problem malformed-request; invalid-body */
export function count(write: Write): FeedPlan {
  const { dto } = readBody(NewVisitDto, jsonBodyOf(write));
  const visit = { door: write.params.door ?? '', ...dto };
  const outcome = { status: 201, text: JSON.stringify(visit), items: 1 };
  return { batchId: 'visits', objects: [toObject(visit)], ifExists: 'replace', outcome: () => outcome };
}
