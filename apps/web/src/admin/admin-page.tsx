import type { JSX } from 'preact';
import { queryText } from '../api/parameters.js';
import { useGet } from '../api/use-get.js';
import { useQuery } from '../query.js';
import { useSession } from '../session.js';
import { Tabs } from '../ui/tabs.js';
import './admin.css';
import { Audit, AUDIT_FILTERS } from './audit.js';
import { Deletions } from './deletions.js';
import { AdminDevices } from './devices.js';
import { Keys } from './keys.js';
import { Projects, ProjectSettings, projectUrl } from './projects.js';
import { UsageView } from './usage.js';
import { Webhooks } from './webhooks.js';

const PARAMETERS = ['tab', 'project_id', 'key', 'webhook', ...AUDIT_FILTERS] as const;

const ADMIN_TABS = [
  ['keys', 'Keys'],
  ['devices', 'Devices'],
  ['webhooks', 'Webhooks'],
  ['deletions', 'Deleted'],
  ['usage', 'Usage'],
  ['audit', 'Audit trail'],
] as const;
const OPERATOR_TABS = [
  ['projects', 'Projects'],
  ['operator-keys', 'Operator keys'],
  ['audit', 'Audit trail'],
] as const;
/** Of one project, for operators. */
const PROJECT_TABS = [
  ['keys', 'Keys'],
  ['limits', 'Limits and retention'],
  ['audit', 'Audit trail'],
] as const;

/** Keys, devices, webhooks, deletions, usage and the audit trail of a project; for operators also projects and operator keys. */
export function AdminPage(): JSX.Element {
  const { me } = useSession();
  const [query, change] = useQuery(PARAMETERS);
  const ownProject = me.project === null ? undefined : String(me.project.project_id);
  const projectId = ownProject ?? query.project_id;
  const isOperator = ownProject === undefined;
  const tabs = !isOperator ? ADMIN_TABS : projectId === undefined ? OPERATOR_TABS : PROJECT_TABS;
  const tab = tabs.find(([name]) => name === query.tab)?.[0] ?? tabs[0][0];
  const selected = isOperator ? (projectId ?? null) : null;
  const keys = { current: query.key, onOpen: (key: string | null) => change({ key }) };
  return (
    <main id="main" class="list-page">
      {selected !== null && <ProjectHeading projectId={selected} />}
      <Tabs
        label="Administration"
        tabs={tabs}
        current={tab}
        hrefOf={(name) => (selected === null ? `/browse/admin${queryText({ tab: name })}` : projectUrl(selected, name))}
      />
      {tab === 'keys' && <Keys projectId={projectId ?? ''} {...keys} />}
      {tab === 'operator-keys' && <Keys projectId={null} {...keys} />}
      {tab === 'devices' && <AdminDevices />}
      {tab === 'webhooks' && <Webhooks current={query.webhook} onOpen={(webhook) => change({ webhook })} />}
      {tab === 'deletions' && <Deletions />}
      {tab === 'usage' && <UsageView />}
      {tab === 'audit' && <Audit query={query} projectId={selected} onChange={change} />}
      {tab === 'projects' && <Projects />}
      {tab === 'limits' && <ProjectSettings key={projectId} projectId={projectId ?? ''} />}
    </main>
  );
}

function ProjectHeading({ projectId }: { projectId: string }): JSX.Element {
  const project = useGet('/api/v1/projects/{project_id}', { path: { project_id: projectId } });
  return (
    <p class="project-heading">
      <a href="/browse/admin">Projects</a> / <strong>{project.data?.name ?? projectId}</strong>
    </p>
  );
}
