import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { useSession } from '../session.js';
import { sizeText } from '../ui/size-text.js';
import { CsvForm } from './csv-form.js';
import { cellsOf, suggestedOptions } from './csv.js';
import { FilePicker } from './file-picker.js';
import { Preview } from './preview.js';
import { isRowError } from './rejected.js';
import { RunState } from './run-state.js';
import { FileError } from './rows.js';
import { openFile, type UploadFile } from './upload-file.js';
import './upload.css';
import { useUpload, type UploadSettings } from './use-upload.js';

const CONFLICTS: readonly (readonly [UploadSettings['onConflict'], string])[] = [
  ['', 'Change nothing, report a conflict'],
  ['replace', 'Replace its objects with those of the file'],
  ['skip', 'Add the objects that do not exist'],
];

const NO_SETTINGS: UploadSettings = { batchId: '', onConflict: '', isPartial: false, csv: null };

/** Uploads a file as a batch: first a check, which stores nothing, then the upload. */
export function UploadPage({ onBatches }: { onBatches: (() => void) | null }): JSX.Element {
  const { me } = useSession();
  const [file, setFile] = useState<UploadFile | null>(null);
  const [error, setError] = useState<string | null>(null);
  const [settings, setSettings] = useState<UploadSettings>(NO_SETTINGS);
  const { run, start, cancel } = useUpload();
  const isRunning = run?.state === 'running';

  const open = async (chosen: File): Promise<void> => {
    cancel();
    setFile(null);
    setError(null);
    try {
      const next = await openFile(chosen);
      setFile(next);
      const [first] = next.preview;
      const csv = next.kind === 'CSV' && first !== undefined ? suggestedOptions(first.text) : null;
      setSettings({ ...NO_SETTINGS, batchId: next.batchId, csv });
    } catch (caught) {
      if (!(caught instanceof FileError)) throw caught;
      setError(caught.message);
    }
  };
  const change = (changes: Partial<UploadSettings>): void => {
    cancel();
    setSettings({ ...settings, ...changes });
  };
  return (
    <main id="main" class="list-page upload">
      <h1>Upload a batch</h1>
      {onBatches !== null && (
        <p>
          <button type="button" class="plain link" onClick={onBatches}>
            All batches
          </button>
        </p>
      )}
      {me.role === 'producer' && (
        <p class="muted">A key with the role producer can store data in {me.project?.name}, but not read it.</p>
      )}
      <FilePicker isCompact={file !== null} isDisabled={isRunning} onFile={(chosen) => void open(chosen)} />
      {error !== null && (
        <p role="alert" class="error-text">
          {error}
        </p>
      )}
      {file !== null && (
        <>
          <p>
            <strong>{file.name}</strong>{' '}
            <span class="muted">
              {file.kind}, {sizeText(file.sizeBytes)}
            </span>
          </p>
          <Preview file={file} csv={settings.csv} />
          <form
            class="form upload-form"
            onSubmit={(event) => {
              event.preventDefault();
              start(file, settings, run?.state !== 'checked');
            }}
          >
            <label>
              Batch id
              <input
                required
                maxLength={255}
                disabled={isRunning}
                value={settings.batchId}
                onInput={(event) => change({ batchId: event.currentTarget.value })}
              />
            </label>
            <label>
              If the batch exists with other content
              <select
                disabled={isRunning}
                value={settings.onConflict}
                onChange={(event) => change({ onConflict: event.currentTarget.value as UploadSettings['onConflict'] })}
              >
                {CONFLICTS.map(([value, words]) => (
                  <option key={value} value={value}>
                    {words}
                  </option>
                ))}
              </select>
            </label>
            {settings.csv !== null && (
              <CsvForm
                columns={cellsOf(file.preview[0]?.text ?? '', settings.csv.delimiter)}
                options={settings.csv}
                isDisabled={isRunning}
                onChange={(csv) => change({ csv })}
              />
            )}
            <label class="check">
              <input
                type="checkbox"
                disabled={isRunning}
                checked={settings.isPartial}
                onChange={(event) => change({ isPartial: event.currentTarget.checked })}
              />
              Leave out objects with errors, and store the others
            </label>
            <p class="actions">
              {run?.state !== 'checked' && run?.state !== 'stored' && (
                <button type="submit" class="primary" disabled={isRunning}>
                  Check
                </button>
              )}
              {run?.state === 'checked' && (
                <button type="submit" class="primary">
                  Upload
                </button>
              )}
              {isRunning && (
                <button type="button" onClick={cancel}>
                  Cancel
                </button>
              )}
              {run === null && <span class="muted">The check sends the file, and stores nothing.</span>}
            </p>
          </form>
          {run !== null && (
            <RunState
              file={file}
              run={run}
              onPartial={
                run.state === 'failed' &&
                !settings.isPartial &&
                run.problem.errors?.some((error) => isRowError(file, error))
                  ? () => {
                      const next = { ...settings, isPartial: true };
                      setSettings(next);
                      start(file, next, true);
                    }
                  : null
              }
            />
          )}
        </>
      )}
    </main>
  );
}
