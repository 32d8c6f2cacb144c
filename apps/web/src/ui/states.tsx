import type { ComponentChildren, JSX } from 'preact';
import type { Problem } from '../api/client.js';

export function Loading({ label }: { label: string }): JSX.Element {
  return (
    <p role="status" class="loading">
      {label} …
    </p>
  );
}

/** An error: what is wrong, where, and a link to the page that explains it. */
export function ProblemNote({ problem, onRetry }: { problem: Problem; onRetry?: () => void }): JSX.Element {
  const page = /\/problems#[\w-]+$/.exec(problem.type)?.[0];
  return (
    <div role="alert" class="problem">
      <h2>{problem.title}</h2>
      {problem.detail !== '' && <p>{problem.detail}</p>}
      {problem.errors !== undefined && (
        <ul>
          {problem.errors.map(({ pointer, parameter, header, detail }) => {
            const place = pointer ?? parameter ?? header;
            return (
              <li key={`${place ?? ''} ${detail}`}>
                {place !== undefined && <code>{place}</code>} {detail}
              </li>
            );
          })}
        </ul>
      )}
      <p class="actions">
        {onRetry !== undefined && (
          <button type="button" onClick={onRetry}>
            Try again
          </button>
        )}
        {page !== undefined && <a href={page}>What this error means</a>}
      </p>
    </div>
  );
}

/** An error in one line, where a note has no place. */
export function problemText({ title, detail }: Problem): string {
  return detail === '' ? title : detail;
}

/** A place that has nothing to show, with what can be done about it. */
export function Empty({ title, children }: { title: string; children?: ComponentChildren }): JSX.Element {
  return (
    <div class="empty">
      <h2>{title}</h2>
      {children}
    </div>
  );
}
