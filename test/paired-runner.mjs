import TestRunner from 'jest-runner';

/** Runs its specs two at a time, before or after all others: Jest waits for one runner to finish before it starts the next. */
export default class PairedRunner extends TestRunner {
  constructor(globalConfig, context) {
    super({ ...globalConfig, maxWorkers: Math.min(2, globalConfig.maxWorkers) }, context);
  }
}
