import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';

const SHOWN_MS = 2_000;

/** Copies a text, and says so for two seconds. */
export function CopyButton({ label, text }: { label: string; text: string }): JSX.Element {
  const [result, setResult] = useState<string | null>(null);
  useEffect(() => {
    if (result === null) return;
    const timer = setTimeout(() => setResult(null), SHOWN_MS);
    return () => {
      clearTimeout(timer);
    };
  }, [result]);
  const copy = (): void => {
    // Browsers have no clipboard on a page without HTTPS.
    Promise.resolve()
      .then(() => navigator.clipboard.writeText(text))
      .then(
        () => setResult('Copied'),
        () => setResult('The browser does not allow it'),
      );
  };
  return (
    <button type="button" onClick={copy} title={text}>
      <span aria-live="polite">{result ?? label}</span>
    </button>
  );
}
