import type { JSX } from 'preact';
import { LocationProvider, Route, Router, useLocation } from 'preact-iso';
import { AdminPage } from './admin/admin-page.js';
import type { Role } from './api/client.js';
import { BatchesPage } from './batches/batches-page.js';
import { ChartsPage } from './charts/charts-page.js';
import { FeedsPage } from './feeds/feeds-page.js';
import { JobsPage } from './jobs/jobs-page.js';
import { ObjectsPage } from './objects/objects-page.js';
import { SessionGate, useSession } from './session.js';
import { Empty } from './ui/states.js';
import { ThemeButton } from './ui/theme.js';

/** The views, and the roles that can use them. */
const VIEWS: readonly { path: string; title: string; roles: readonly Role[]; view: () => JSX.Element }[] = [
  { path: '/browse/objects', title: 'Objects', roles: ['admin', 'analyst'], view: ObjectsPage },
  { path: '/browse/batches', title: 'Batches', roles: ['admin', 'analyst', 'producer'], view: BatchesPage },
  { path: '/browse/charts', title: 'Charts', roles: ['admin', 'analyst'], view: ChartsPage },
  { path: '/browse/feeds', title: 'Feeds', roles: ['admin', 'analyst'], view: FeedsPage },
  {
    path: '/browse/jobs',
    title: 'Jobs',
    roles: ['operator', 'admin', 'analyst', 'producer', 'device'],
    view: JobsPage,
  },
  { path: '/browse/admin', title: 'Admin', roles: ['admin', 'operator'], view: AdminPage },
];

export function App(): JSX.Element {
  return (
    <LocationProvider scope="/browse">
      <SessionGate>
        <Frame />
      </SessionGate>
    </LocationProvider>
  );
}

function Frame(): JSX.Element {
  const { me, signOut } = useSession();
  const { path } = useLocation();
  const views = VIEWS.filter(({ roles }) => roles.includes(me.role));
  return (
    <>
      <a class="skip" href="#main">
        Skip to the content
      </a>
      <header class="top">
        <strong>Stowage</strong>
        <nav aria-label="Views">
          {views.map((view) => (
            <a key={view.path} href={view.path} aria-current={path.startsWith(view.path) ? 'page' : undefined}>
              {view.title}
            </a>
          ))}
          <a href="/docs" target="_blank" rel="noreferrer">
            Reference
          </a>
          <a href="/guides/objects" target="_blank" rel="noreferrer">
            Guides
          </a>
        </nav>
        <span class="who">
          {me.project?.name ?? 'installation'} · {me.name} ({me.role})
        </span>
        <ThemeButton />
        <button type="button" onClick={signOut}>
          Sign out
        </button>
      </header>
      <Router>
        {views.map(({ path: route, view }) => (
          <Route key={route} path={route} component={view} />
        ))}
        <Route default component={Elsewhere} />
      </Router>
    </>
  );
}

/** Where a key begins: for operators the projects, for others the first view that they can use. */
function firstView(role: Role): (typeof VIEWS)[number] | undefined {
  const views = VIEWS.filter(({ roles }) => roles.includes(role));
  return role === 'operator' ? views.at(-1) : views[0];
}

/** The first view that the key can use, or why there is none at this URL. */
function Elsewhere(): JSX.Element {
  const { me } = useSession();
  const { route, path } = useLocation();
  const first = firstView(me.role);
  const isForbidden = first === undefined || VIEWS.some((view) => view.path === path);
  if (first !== undefined && /^\/browse\/?$/.test(path)) {
    route(first.path, true);
    return <></>;
  }
  const title = isForbidden ? `A key with the role ${me.role} cannot use this view` : 'Page not found';
  return (
    <main id="main">
      <Empty title={title}>
        {isForbidden && <p>Sign out, and use a key with another role. An admin of the project can create one.</p>}
        {first !== undefined && <a href={first.path}>Go to {first.title}</a>}
      </Empty>
    </main>
  );
}
