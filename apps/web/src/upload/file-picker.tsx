import type { JSX } from 'preact';
import { useLayoutEffect, useRef, useState } from 'preact/hooks';

interface Props {
  /** Whether a file is chosen already, so that less room is left for another. */
  isCompact: boolean;
  isDisabled: boolean;
  onFile: (file: File) => void;
}

/** Takes a file that is dropped or chosen. */
export function FilePicker({ isCompact, isDisabled, onFile }: Props): JSX.Element {
  const [isOver, setOver] = useState(false);
  const take = (files: FileList | null | undefined): void => {
    const file = files?.[0];
    if (file !== undefined && !isDisabled) onFile(file);
  };
  const current = useRef(take);
  current.current = take;
  useLayoutEffect(() => {
    // On the whole window: a browser would leave the page for a file that is dropped elsewhere.
    const listen = new AbortController();
    const { signal } = listen;
    const over = (event: DragEvent): void => {
      event.preventDefault();
      setOver(event.type === 'dragover');
    };
    addEventListener('dragover', over, { signal });
    addEventListener('dragleave', over, { signal });
    addEventListener(
      'drop',
      (event) => {
        over(event);
        current.current(event.dataTransfer?.files);
      },
      { signal },
    );
    return () => {
      listen.abort();
    };
  }, []);
  return (
    <div class="file-picker" data-over={isOver} data-compact={isCompact}>
      <p>Drop a file here</p>
      <label for="file" class="button">
        Choose a file
      </label>
      <input
        id="file"
        type="file"
        accept=".json,.ndjson,.jsonl,.csv,.tsv,.txt"
        disabled={isDisabled}
        aria-describedby="file-help"
        onChange={(event) => {
          take(event.currentTarget.files);
          // The same file can be chosen again after it was corrected.
          event.currentTarget.value = '';
        }}
      />
      <p id="file-help" class="muted">
        JSON (a batch or a list of objects), NDJSON (one object per line) or CSV (a header and one row per object)
      </p>
    </div>
  );
}
