import { Injectable } from '@nestjs/common';

/** The times of rate limits, in milliseconds; tests set shorter ones. */
@Injectable()
export class LimitTimes {
  /** The length of a window, in whole seconds. */
  windowMs = 60_000;
  /** How often the counts of several processes are combined. */
  combineEveryMs = 1_000;
}
