import type { ComponentChildren, JSX } from 'preact';
import type { Problem } from '../api/types.js';

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
      {problem.detail !== undefined && <p>{problem.detail}</p>}
      {problem.errors !== undefined && (
        <ul>
          {problem.errors.map(({ pointer, parameter, detail }) => (
            <li key={`${pointer ?? ''} ${parameter ?? ''} ${detail}`}>
              {(pointer ?? parameter) !== undefined && <code>{pointer ?? parameter}</code>} {detail}
            </li>
          ))}
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

/** A place that has nothing to show, with what can be done about it. */
export function Empty({ title, children }: { title: string; children?: ComponentChildren }): JSX.Element {
  return (
    <div class="empty">
      <h2>{title}</h2>
      {children}
    </div>
  );
}
