import { describe, expect, it } from '@jest/globals';
import { JobShares, WorkerStoppedError } from './job-shares.js';

/** Lets every promise that is settled continue. */
async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

/** A worker that waits for its turn. */
class Worker {
  leftOut: readonly number[] | undefined;
  error: unknown;

  constructor(shares: JobShares) {
    shares.waitForTurn().then(
      (projects) => (this.leftOut = projects),
      (error: unknown) => (this.error = error),
    );
  }
}

const nobody = (): Promise<boolean> => Promise.resolve(false);
const somebody = (): Promise<boolean> => Promise.resolve(true);

describe('JobShares', () => {
  it('lets one worker at a time take a job', async () => {
    const shares = new JobShares(2, nobody);
    const [first, second, third] = [new Worker(shares), new Worker(shares), new Worker(shares)];
    await settle();
    expect([first.leftOut, second.leftOut, third.leftOut]).toEqual([[], undefined, undefined]);
    shares.endTurn();
    await settle();
    expect([second.leftOut, third.leftOut]).toEqual([[], undefined]);
    shares.addJob(1);
    await settle();
    expect(third.leftOut).toEqual([]);
  });

  it('leaves out a project that runs its share, while a job of another one waits', async () => {
    const asked: (readonly number[])[] = [];
    const shares = new JobShares(2, (full) => {
      asked.push(full);
      return Promise.resolve(true);
    });
    for (let i = 0; i < 2; i++) {
      new Worker(shares);
      await settle();
      shares.addJob(1);
    }
    const next = new Worker(shares);
    await settle();
    expect([next.leftOut, asked]).toEqual([[1], [[1]]]);
  });

  it('takes no job while only a project that runs its share has some, until one of its jobs ends', async () => {
    const shares = new JobShares(1, nobody);
    new Worker(shares);
    await settle();
    shares.addJob(1);
    const next = new Worker(shares);
    await settle();
    expect(next.leftOut).toBeUndefined();
    shares.removeJob(1);
    await settle();
    expect(next.leftOut).toEqual([]);
  });

  it('finds a job of another project that arrives later', async () => {
    let isWaiting = false;
    const shares = new JobShares(1, () => Promise.resolve(isWaiting));
    new Worker(shares);
    await settle();
    shares.addJob(1);
    const next = shares.waitForTurn();
    await settle();
    isWaiting = true;
    expect(await next).toEqual([1]);
  });

  it('rejects the workers that wait when it stops', async () => {
    const shares = new JobShares(1, nobody);
    new Worker(shares);
    await settle();
    shares.addJob(1);
    const [waiting, behind] = [new Worker(shares), new Worker(shares)];
    await settle();
    shares.stop();
    await settle();
    shares.endTurn();
    await settle();
    expect([waiting.error, behind.error]).toEqual([expect.any(WorkerStoppedError), expect.any(WorkerStoppedError)]);
  });

  it('continues after a search that failed', async () => {
    let search = (): Promise<boolean> => Promise.reject(new Error('the database is away'));
    const shares = new JobShares(1, () => search());
    new Worker(shares);
    await settle();
    shares.addJob(1);
    const failed = new Worker(shares);
    await settle();
    expect(failed.error).toMatchObject({ message: 'the database is away' });
    shares.endTurn();
    search = somebody;
    const next = new Worker(shares);
    await settle();
    expect(next.leftOut).toEqual([1]);
  });
});
