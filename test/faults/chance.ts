import { createHash } from 'node:crypto';

/** Chance that repeats itself: the same seed gives the same numbers in the same order. */
export class Chance {
  private drawn = 0;

  constructor(readonly seed: number) {}

  /** A number from `min` to below `max`. */
  between(min: number, max: number): number {
    const digest = createHash('sha256')
      .update(`${String(this.seed)}/${String(this.drawn++)}`)
      .digest();
    return min + (digest.readUInt32BE() / 2 ** 32) * (max - min);
  }

  pick<const T>(choices: readonly [T, ...T[]]): T {
    return choices[Math.floor(this.between(0, choices.length))] ?? choices[0];
  }
}
