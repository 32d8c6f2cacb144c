import { readFile } from 'node:fs/promises';
import { posix } from 'node:path';
import { projectFile } from '#platform';
import { Marked } from 'marked';
import { getHeadingList, gfmHeadingId } from 'marked-gfm-heading-id';
import { htmlPage, PAGE_POLICY, type PageLink } from './html-page.js';
import { StaticDocument } from './static-document.js';

/** The documents of `docs` that are served: file, path and title. */
const GUIDES = [
  // The description of the parameter `data` links to it.
  ['filter-language.md', '/filters', 'Filters'],
  ['objects.md', '/guides/objects', 'Objects'],
  ['batches.md', '/guides/batches', 'Batches'],
  ['export.md', '/guides/export', 'Export'],
  ['changes.md', '/guides/changes', 'Changes'],
  ['webhooks.md', '/guides/webhooks', 'Webhooks'],
  ['aggregates.md', '/guides/aggregates', 'Aggregates'],
  ['feeds.md', '/guides/feeds', 'Feeds'],
  ['integrations.md', '/guides/integrations', 'Integrations'],
  ['audit.md', '/guides/audit', 'Audit'],
  ['idempotent-requests.md', '/guides/idempotent-requests', 'Idempotent requests'],
  ['operations.md', '/guides/operations', 'Operations'],
  ['capacity.md', '/guides/capacity', 'Capacity'],
  // The `type` of every problem links to it.
  ['problems.md', '/problems', 'Problems'],
] as const;

/** The pages of `docs/operations`, below the page that links to them. */
const OPERATIONS = [
  'deploy',
  'settings',
  'encryption',
  'start-and-stop',
  'command-line',
  'loading',
  'keys',
  'projects',
  'jobs',
  'limits',
  'monitoring',
  'alerts',
  'backup',
  'upgrade',
  'scale-out',
].map((name) => [`operations/${name}.md`, `/guides/operations/${name}`] as const);

export const GUIDE_LINKS: readonly PageLink[] = [
  { href: '/browse', text: 'Browse' },
  { href: '/docs', text: 'Reference' },
  ...GUIDES.map(([, href, text]) => ({ href, text })),
];

/** The dashboard for Grafana that the guide to integrations describes. */
const DASHBOARD = {
  file: 'integrations/grafana-temperatures.json',
  path: '/guides/grafana-temperatures.json',
} as const;

const PATHS: ReadonlyMap<string, string> = new Map([
  ...GUIDES.map(([file, path]): [string, string] => [file, path]),
  ...OPERATIONS,
  [DASHBOARD.file, DASHBOARD.path],
]);

/** The guides as pages and their files, by path. */
export function guideDocuments(): Record<string, StaticDocument> {
  const guides = [...GUIDES, ...OPERATIONS].map(([file, path]): [string, StaticDocument] => [
    path,
    new StaticDocument('text/html; charset=utf-8', () => renderGuide(file, path), { policy: PAGE_POLICY }),
  ]);
  const dashboard = new StaticDocument('application/json; charset=utf-8', () =>
    readFile(projectFile(`docs/${DASHBOARD.file}`)),
  );
  return { ...Object.fromEntries(guides), [DASHBOARD.path]: dashboard };
}

/** A link to a file that is not served becomes text. */
async function renderGuide(file: string, path: string): Promise<string> {
  const markdown = await readFile(projectFile(`docs/${file}`), 'utf8');
  const [heading = '', title = ''] = /^# (.*)\n/.exec(markdown) ?? [];
  const marked = new Marked().use(gfmHeadingId(), {
    renderer: {
      link({ href, tokens }) {
        const text = this.parser.parseInline(tokens);
        const [name = '', fragment] = href.split('#');
        const target = name === '' ? '' : PATHS.get(posix.join(posix.dirname(file), name));
        if (target === undefined) return text;
        return `<a href="${target}${fragment === undefined ? '' : `#${fragment}`}">${text}</a>`;
      },
    },
  });
  // The list of headings is state of the package, until the next text is parsed.
  const body = marked.parse(markdown.slice(heading.length), { async: false });
  const headings = getHeadingList().filter(({ level }) => level === 2);
  const contents = headings.map(({ id, text }) => ({ href: `#${id}`, text }));
  return htmlPage(title, body, { links: GUIDE_LINKS, current: path, contents });
}
