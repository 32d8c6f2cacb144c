import type { JSX } from 'preact';

/** A time in UTC to the second; its title has all digits. */
export function TimeText({ time }: { time: string }): JSX.Element {
  return (
    <time dateTime={time} title={time}>
      {time.slice(0, 19).replace('T', ' ')}
    </time>
  );
}
