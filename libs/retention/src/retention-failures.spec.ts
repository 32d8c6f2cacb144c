import { expect, it } from '@jest/globals';
import { RetentionFailures } from './retention-failures.js';

it('leaves a project to the next run once its failed steps took five minutes, however few objects failed', () => {
  const failures = new RetentionFailures();
  failures.add(new Error('of the object'), { seq: '1', object_id: 'a' });
  failures.tookMs += 299_999;
  expect(failures.isFull).toBe(false);
  failures.tookMs += 1;
  expect(failures.isFull).toBe(true);
});
