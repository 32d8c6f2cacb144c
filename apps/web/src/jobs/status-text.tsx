import type { JSX } from 'preact';
import type { JobStatus } from './types.js';

export function StatusText({ status }: { status: JobStatus }): JSX.Element {
  return (
    <span class="status" data-status={status}>
      {status}
    </span>
  );
}
