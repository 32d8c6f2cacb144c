import { Injectable } from '@nestjs/common';

/**
 * The server's time in microseconds since 1970, never the same twice: readings of one room that come in one millisecond
 * without a time of their own are two, and an average asked for afterwards has both.
 */
@Injectable()
export class Clock {
  private last = 0;

  /** The first of so many times, a microsecond apart. */
  next(count = 1): number {
    const first = Math.max(Date.now() * 1_000, this.last + 1);
    this.last = first + count - 1;
    return first;
  }
}
