import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { Schemas } from '../api/client.js';
import { queryText } from '../api/parameters.js';
import { useGet } from '../api/use-get.js';
import { usePages } from '../api/use-pages.js';
import { useSubmit } from '../api/use-submit.js';
import { useSession } from '../session.js';
import { CountText } from '../ui/count-text.js';
import { Dialog } from '../ui/dialog.js';
import { FormEnd } from '../ui/form-end.js';
import { PagedList } from '../ui/paged-list.js';
import { sizeText } from '../ui/size-text.js';
import { Empty, Loading, ProblemNote } from '../ui/states.js';
import { TimeText } from '../ui/time-text.js';
import { WideList } from '../ui/wide-list.js';

/** The projects of the installation, newest first. */
export function Projects(): JSX.Element {
  const pages = usePages('/api/v1/projects');
  const [isCreating, setCreating] = useState(false);
  return (
    <>
      <div class="toolbar">
        <CountText count={pages.count} one="project" many="projects" />
        <button type="button" class="primary" onClick={() => setCreating(true)}>
          Create a project
        </button>
      </div>
      <PagedList pages={pages} name="projects" empty={<Empty title="No projects" />}>
        {(projects) => (
          <WideList label="Projects">
            <thead>
              <tr>
                <th scope="col">Project</th>
                <th scope="col" class="number">
                  Id
                </th>
                <th scope="col" class="number">
                  Objects, at most
                </th>
                <th scope="col" class="number">
                  Data, at most
                </th>
                <th scope="col" class="number">
                  Kept, in days
                </th>
                <th scope="col">Created (UTC)</th>
              </tr>
            </thead>
            <tbody>
              {projects.map((project) => (
                <tr key={project.project_id}>
                  <th scope="row">
                    <a href={projectUrl(project.project_id, 'keys')}>{project.name}</a>
                  </th>
                  <td class="number">{project.project_id}</td>
                  <td class="number">{project.objects_max?.toLocaleString('en') ?? 'default'}</td>
                  <td class="number">{project.bytes_max === null ? 'default' : sizeText(project.bytes_max)}</td>
                  <td class="number">{project.retention_days?.toLocaleString('en') ?? 'for ever'}</td>
                  <td>
                    <TimeText time={project.created_at} />
                  </td>
                </tr>
              ))}
            </tbody>
          </WideList>
        )}
      </PagedList>
      {isCreating && (
        <CreateProjectDialog
          onClose={() => setCreating(false)}
          onCreated={() => {
            setCreating(false);
            pages.reload();
          }}
        />
      )}
    </>
  );
}

export function projectUrl(projectId: number | string, tab: string): string {
  return `/browse/admin${queryText({ tab, project_id: projectId })}`;
}

interface ProjectForm {
  name: string;
  /** Numbers as typed; empty for the limits of the installation. */
  objects: string;
  bytes: string;
  /** Empty for ever. */
  days: string;
  /** One on each line. */
  encryptedKeys: string;
}

function CreateProjectDialog(props: { onClose: () => void; onCreated: () => void }): JSX.Element {
  const { onClose, onCreated } = props;
  const { client } = useSession();
  const [form, setForm] = useState<ProjectForm>({ name: '', objects: '', bytes: '', days: '', encryptedKeys: '' });
  const submit = useSubmit();
  const create = (event: Event): void => {
    event.preventDefault();
    submit.run(async () => {
      const body = bodyOf(form);
      const header = { 'Idempotency-Key': submit.idempotencyKey(body) };
      await client.POST('/api/v1/projects', { params: { header }, body });
      onCreated();
    });
  };
  return (
    <Dialog title="Create a project" onClose={onClose}>
      <form class="form" onSubmit={create}>
        <ProjectFields form={form} onChange={setForm} />
        <FormEnd submit={submit} labels={['Create', 'Creating']} kind="primary" />
      </form>
    </Dialog>
  );
}

/** The name, the limits, the retention and the encrypted keys of a project. */
export function ProjectSettings({ projectId }: { projectId: string }): JSX.Element {
  const project = useGet('/api/v1/projects/{project_id}', { path: { project_id: projectId } });
  if (project.problem !== null) return <ProblemNote problem={project.problem} onRetry={project.reload} />;
  if (project.data === null) return <Loading label="Loading the project" />;
  return <SettingsForm key={JSON.stringify(project.data)} project={project.data} />;
}

function SettingsForm({ project }: { project: Schemas['ProjectDto'] }): JSX.Element {
  const { client } = useSession();
  const listedKeys = project.encrypted_keys?.join('\n') ?? '';
  const [form, setForm] = useState<ProjectForm>({
    name: project.name,
    objects: project.objects_max?.toString() ?? '',
    bytes: project.bytes_max?.toString() ?? '',
    days: project.retention_days?.toString() ?? '',
    encryptedKeys: listedKeys,
  });
  const [isSaved, setSaved] = useState(false);
  const submit = useSubmit();
  const save = (event: Event): void => {
    event.preventDefault();
    setSaved(false);
    submit.run(async () => {
      const params = { path: { project_id: String(project.project_id) } };
      const { encrypted_keys, ...others } = bodyOf(form);
      // Keys may have line breaks: a list that was not edited is not sent.
      const body = form.encryptedKeys === listedKeys ? others : { ...others, encrypted_keys };
      await client.PATCH('/api/v1/projects/{project_id}', { params, body });
      setSaved(true);
    });
  };
  return (
    <form class="form settings-form" onSubmit={save}>
      <ProjectFields form={form} onChange={setForm} />
      {project.encryption_pending && <p>Stored values are being encrypted or decrypted.</p>}
      <p role="status">
        {isSaved && 'Saved. The limits apply to every write from now on, the retention within a minute.'}
      </p>
      <FormEnd submit={submit} labels={['Save', 'Saving']} kind="primary" />
    </form>
  );
}

function ProjectFields({ form, onChange }: { form: ProjectForm; onChange: (form: ProjectForm) => void }): JSX.Element {
  const number = (name: 'objects' | 'bytes' | 'days', label: string): JSX.Element => (
    <label>
      {label}
      <input
        type="number"
        min={name === 'days' ? 1 : 0}
        step={1}
        value={form[name]}
        onInput={(event) => onChange({ ...form, [name]: event.currentTarget.value })}
      />
    </label>
  );
  return (
    <>
      <label>
        Name
        <input required value={form.name} onInput={(event) => onChange({ ...form, name: event.currentTarget.value })} />
      </label>
      {number('objects', 'Most objects; empty for the limit of the installation')}
      {number('bytes', 'Most bytes of data; empty for the limit of the installation')}
      {number('days', 'Days for which objects are kept after they were observed; empty for ever')}
      {form.days !== '' && (
        <p class="muted">
          Older objects are deleted in the background, and cannot be restored.{' '}
          <a href="/guides/operations/projects#retention">How retention works</a>
        </p>
      )}
      <label>
        Encrypted keys, one on each line; their values cannot be searched
        <textarea
          rows={3}
          value={form.encryptedKeys}
          onInput={(event) => onChange({ ...form, encryptedKeys: event.currentTarget.value })}
        />
      </label>
    </>
  );
}

function bodyOf(form: ProjectForm): Schemas['CreateProjectDto'] & { encrypted_keys: string[] | null } {
  const { name, objects, bytes, days, encryptedKeys } = form;
  const limit = (text: string): number | null => (text === '' ? null : Number(text));
  const keys = encryptedKeys.split('\n').filter((key) => key !== '');
  const limits = { objects_max: limit(objects), bytes_max: limit(bytes), retention_days: limit(days) };
  return { name, ...limits, encrypted_keys: keys.length === 0 ? null : keys };
}
