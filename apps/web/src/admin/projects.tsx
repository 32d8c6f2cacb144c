import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { queryText } from '../api/api.js';
import { useLoad } from '../api/use-load.js';
import { usePages } from '../api/use-pages.js';
import { useSubmit } from '../api/use-submit.js';
import { useSession } from '../session.js';
import { CountText } from '../ui/count-text.js';
import { Dialog } from '../ui/dialog.js';
import { LoadMore } from '../ui/load-more.js';
import { sizeText } from '../ui/size-text.js';
import { Empty, Loading, ProblemNote } from '../ui/states.js';
import { TimeText } from '../ui/time-text.js';
import { WideList } from '../ui/wide-list.js';
import type { Project } from './types.js';

/** The projects of the installation, newest first. */
export function Projects(): JSX.Element {
  const pages = usePages<Project>('/projects');
  const [isCreating, setCreating] = useState(false);
  return (
    <>
      <div class="toolbar">
        <CountText count={pages.count} one="project" many="projects" />
        <button type="button" class="primary" onClick={() => setCreating(true)}>
          Create a project
        </button>
      </div>
      {pages.problem !== null && <ProblemNote problem={pages.problem} onRetry={pages.retry} />}
      {pages.items.length === 0 && pages.isLoading && <Loading label="Loading projects" />}
      {pages.items.length === 0 && !pages.isLoading && pages.problem === null && <Empty title="No projects" />}
      {pages.items.length > 0 && (
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
              <th scope="col">Created (UTC)</th>
            </tr>
          </thead>
          <tbody>
            {pages.items.map((project) => (
              <tr key={project.project_id}>
                <th scope="row">
                  <a href={projectUrl(project.project_id, 'keys')}>{project.name}</a>
                </th>
                <td class="number">{project.project_id}</td>
                <td class="number">{project.objects_max?.toLocaleString('en') ?? 'default'}</td>
                <td class="number">{project.bytes_max === null ? 'default' : sizeText(project.bytes_max)}</td>
                <td>
                  <TimeText time={project.created_at} />
                </td>
              </tr>
            ))}
          </tbody>
        </WideList>
      )}
      <LoadMore pages={pages} />
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
}

function CreateProjectDialog(props: { onClose: () => void; onCreated: () => void }): JSX.Element {
  const { onClose, onCreated } = props;
  const { api } = useSession();
  const [form, setForm] = useState<ProjectForm>({ name: '', objects: '', bytes: '' });
  const submit = useSubmit();
  const create = (event: Event): void => {
    event.preventDefault();
    submit.run(async () => {
      const body = bodyOf(form);
      await api.send('POST', '/projects', body, { 'Idempotency-Key': submit.idempotencyKey(body) });
      onCreated();
    });
  };
  return (
    <Dialog title="Create a project" onClose={onClose}>
      <form class="form" onSubmit={create}>
        <ProjectFields form={form} onChange={setForm} />
        {submit.problem !== null && <ProblemNote problem={submit.problem} />}
        <button type="submit" class="primary" disabled={submit.isRunning}>
          {submit.isRunning ? 'Creating …' : 'Create'}
        </button>
      </form>
    </Dialog>
  );
}

/** The name and the limits of a project. */
export function ProjectSettings({ projectId }: { projectId: string }): JSX.Element {
  const { api } = useSession();
  const path = `/projects/${encodeURIComponent(projectId)}`;
  const project = useLoad(path, (signal) => api.get<Project>(path, {}, signal));
  if (project.problem !== null) return <ProblemNote problem={project.problem} onRetry={project.reload} />;
  if (project.data === null) return <Loading label="Loading the project" />;
  return <SettingsForm key={JSON.stringify(project.data)} project={project.data} path={path} />;
}

function SettingsForm({ project, path }: { project: Project; path: string }): JSX.Element {
  const { api } = useSession();
  const [form, setForm] = useState<ProjectForm>({
    name: project.name,
    objects: project.objects_max?.toString() ?? '',
    bytes: project.bytes_max?.toString() ?? '',
  });
  const [isSaved, setSaved] = useState(false);
  const submit = useSubmit();
  const save = (event: Event): void => {
    event.preventDefault();
    setSaved(false);
    submit.run(async () => {
      await api.send('PATCH', path, bodyOf(form));
      setSaved(true);
    });
  };
  return (
    <form class="form settings-form" onSubmit={save}>
      <ProjectFields form={form} onChange={setForm} />
      {submit.problem !== null && <ProblemNote problem={submit.problem} />}
      <p role="status">{isSaved && 'Saved. The limits apply to every write from now on.'}</p>
      <button type="submit" class="primary" disabled={submit.isRunning}>
        {submit.isRunning ? 'Saving …' : 'Save'}
      </button>
    </form>
  );
}

function ProjectFields({ form, onChange }: { form: ProjectForm; onChange: (form: ProjectForm) => void }): JSX.Element {
  const number = (name: 'objects' | 'bytes', label: string): JSX.Element => (
    <label>
      {label}
      <input
        type="number"
        min={0}
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
    </>
  );
}

function bodyOf({ name, objects, bytes }: ProjectForm): Record<string, string | number | null> {
  const limit = (text: string): number | null => (text === '' ? null : Number(text));
  return { name, objects_max: limit(objects), bytes_max: limit(bytes) };
}
