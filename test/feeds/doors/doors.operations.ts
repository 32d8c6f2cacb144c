import { jsonBody, pathParam, type WriteRequest, type WriteResponse } from '#jobs';
import { readBody } from '#http';
import { toUtc } from '#platform';
import type { FeedInput } from '#feeds';
import { NewVisitDto } from './doors.dto.js';
import { requireDoor, toObject, type Visit } from './visit.js';

interface VisitInput extends FeedInput {
  visit: Visit;
}

/** Parses a visit, which replaces that of the same door and hour. @throws Problem invalid-path; malformed-request; invalid-body */
export function parseVisit(request: WriteRequest): VisitInput {
  const { dto } = readBody(NewVisitDto, jsonBody(request));
  // In UTC, so that the id does not depend on the time zone of the client.
  const visit = { door: requireDoor(pathParam(request, 'door')), at: toUtc(dto.at), people: dto.people };
  return { batchId: 'visits', objects: [toObject(visit)], ifExists: 'replace', visit };
}

export function visitResponse({ visit }: VisitInput): WriteResponse {
  return { status: 201, text: JSON.stringify(visit), items: 1 };
}
