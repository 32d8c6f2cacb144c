import { createHash } from 'node:crypto';

/** Repeatable random numbers: the same seed gives the same numbers in the same order. */
export class SeededRandom {
  private draws = 0;

  constructor(readonly seed: number) {}

  /** Returns a number from `min` (inclusive) to `max` (exclusive). */
  between(min: number, max: number): number {
    const digest = createHash('sha256')
      .update(`${String(this.seed)}/${String(this.draws++)}`)
      .digest();
    return min + (digest.readUInt32BE() / 2 ** 32) * (max - min);
  }

  pick<const T>(choices: readonly [T, ...T[]]): T {
    return choices[Math.floor(this.between(0, choices.length))] ?? choices[0];
  }
}
