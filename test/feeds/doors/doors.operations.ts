import { jsonBody, pathParam, type WriteRequest } from '#jobs';
import { readBody } from '#http';
import { toUtc } from '#platform';
import type { FeedPlan } from '#feeds';
import { NewVisitDto } from './doors.dto.js';
import { doorOf, toObject } from './visit.js';

/** So many went through the door; said again of the same hour, it counts instead. @throws Problem invalid-path; malformed-request; invalid-body */
export function count(write: WriteRequest): FeedPlan {
  const { dto } = readBody(NewVisitDto, jsonBody(write));
  // In UTC before it becomes an id: the same hour may be sent in any zone.
  const visit = { door: doorOf(pathParam(write, 'door')), at: toUtc(dto.at), people: dto.people };
  const outcome = { status: 201, text: JSON.stringify(visit), items: 1 };
  return { batchId: 'visits', objects: [toObject(visit)], ifExists: 'replace', outcome: () => outcome };
}
