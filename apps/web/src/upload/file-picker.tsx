import type { JSX } from 'preact';
import { useState } from 'preact/hooks';

interface Props {
  isDisabled: boolean;
  onFile: (file: File) => void;
}

/** Takes a file that is dropped or chosen. */
export function FilePicker({ isDisabled, onFile }: Props): JSX.Element {
  const [isOver, setOver] = useState(false);
  const take = (files: FileList | null | undefined): void => {
    const file = files?.[0];
    if (file !== undefined && !isDisabled) onFile(file);
  };
  return (
    <div
      class="file-picker"
      data-over={isOver}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault();
        setOver(false);
        take(event.dataTransfer?.files);
      }}
    >
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
