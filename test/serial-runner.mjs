import TestRunner from 'jest-runner';

/** Runs its specs sequentially, before or after all others: Jest waits for one runner to finish before it starts the next. */
export default class SerialRunner extends TestRunner {
  isSerial = true;
}
