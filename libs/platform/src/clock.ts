import { Injectable } from '@nestjs/common';

/** The time of the server in microseconds since 1970, with a resolution of a millisecond; tests replace it. */
@Injectable()
export class Clock {
  /** The time at which a request is received. */
  receivedAt(): number {
    return Date.now() * 1_000;
  }

  /** The end of the current millisecond, so that everything that was received is before it. */
  now(): number {
    return (Date.now() + 1) * 1_000;
  }
}
