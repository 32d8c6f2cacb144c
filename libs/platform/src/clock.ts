import { Injectable } from '@nestjs/common';

/** The server's time in microseconds since 1970, though it ticks in milliseconds; tests set it. */
@Injectable()
export class Clock {
  /** When something arrives. */
  arrival(): number {
    return Date.now() * 1_000;
  }

  /** The end of the present millisecond, so that what has arrived until now lies before it. */
  now(): number {
    return (Date.now() + 1) * 1_000;
  }
}
