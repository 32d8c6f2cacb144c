import TestRunner from 'jest-runner';

/** Runs its specs one after the other, before or after all others: Jest lets one runner finish before the next begins. */
export default class AloneRunner extends TestRunner {
  isSerial = true;
}
