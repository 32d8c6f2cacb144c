import type { JSX } from 'preact';

/** The state of a job or a delivery. */
export function StatusText({ status }: { status: string }): JSX.Element {
  return (
    <span class="status" data-status={status}>
      {status}
    </span>
  );
}
