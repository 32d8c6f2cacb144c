import { jsonBodyOf, paramOf, type Write } from '#jobs';
import { readBody } from '#http';
import { toUtc } from '#platform';
import type { FeedPlan } from '#feeds';
import { NewVisitDto } from './doors.dto.js';
import { doorOf, toObject } from './visit.js';

/** So many went through the door; said again of the same hour, it counts instead. @throws Problem invalid-path; malformed-request; invalid-body */
export function count(write: Write): FeedPlan {
  const { dto } = readBody(NewVisitDto, jsonBodyOf(write));
  // In UTC before it becomes an id: the same hour may be sent in any zone.
  const visit = { door: doorOf(paramOf(write, 'door')), at: toUtc(dto.at), people: dto.people };
  const outcome = { status: 201, text: JSON.stringify(visit), items: 1 };
  return { batchId: 'visits', objects: [toObject(visit)], ifExists: 'replace', outcome: () => outcome };
}
