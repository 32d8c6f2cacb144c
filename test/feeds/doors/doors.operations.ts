import { jsonBody, pathParam, type WriteRequest } from '#jobs';
import { readBody } from '#http';
import { toUtc } from '#platform';
import type { FeedPlan } from '#feeds';
import { NewVisitDto } from './doors.dto.js';
import { requireDoor, toObject } from './visit.js';

/** Plans a visit, which replaces that of the same door and hour. @throws Problem invalid-path; malformed-request; invalid-body */
export function planVisit(request: WriteRequest): FeedPlan {
  const { dto } = readBody(NewVisitDto, jsonBody(request));
  // In UTC, so that the id does not depend on the time zone of the client.
  const visit = { door: requireDoor(pathParam(request, 'door')), at: toUtc(dto.at), people: dto.people };
  const response = { status: 201, text: JSON.stringify(visit), items: 1 };
  return { batchId: 'visits', objects: [toObject(visit)], ifExists: 'replace', respond: () => response };
}
