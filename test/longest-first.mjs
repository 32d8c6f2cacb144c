import { statSync } from 'node:fs';
import { join } from 'node:path';

/** Specs that take long, much of it waiting. Started last, they would run while the other workers have nothing left to do. */
const LONGEST = [
  'faults/random-faults',
  'start/start',
  'security/floods',
  'jobs/recovery',
  'security/event-loop',
  'cli/keys',
  'launcher/embedded-postgres',
  'batches/ndjson',
].map((name) => join(import.meta.dirname, `${name}.spec.ts`));

const isLong = ({ place }) => Number(place !== -1);

/** Orders the specs: the longest ones first, the others by size. A clean checkout knows no durations of earlier runs. */
export default class LongestFirst {
  constructor() {
    // A listed spec that was renamed is an error.
    for (const path of LONGEST) statSync(path);
  }

  sort(tests) {
    return tests
      .map((test) => ({ test, place: LONGEST.indexOf(test.path), size: statSync(test.path).size }))
      .sort((a, b) => isLong(b) - isLong(a) || a.place - b.place || b.size - a.size)
      .map(({ test }) => test);
  }

  allFailedTests(tests) {
    return tests;
  }

  cacheResults() {
    // The order does not depend on earlier runs.
  }
}
