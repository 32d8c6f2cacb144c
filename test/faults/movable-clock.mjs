/**
 * Loaded into a server or a worker with `--import`: each SIGUSR2 sets the clock of the process back by an hour, and the next one
 * to the real time again.
 */
const HOUR_MS = 3_600_000;
const RealDate = Date;
const realNow = Date.now;
let offsetMs = 0;

globalThis.Date = class Date extends RealDate {
  constructor(...values) {
    super(...(values.length === 0 ? [realNow() + offsetMs] : values));
  }

  static now() {
    return realNow() + offsetMs;
  }
};

process.on('SIGUSR2', () => {
  offsetMs = offsetMs === 0 ? -HOUR_MS : 0;
});
