import { readFile } from 'node:fs/promises';
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
  ['operations.md', '/guides/operations', 'Operations'],
  ['capacity.md', '/guides/capacity', 'Capacity'],
  // The `type` of every problem links to it.
  ['problems.md', '/problems', 'Problems'],
] as const;

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
  [DASHBOARD.file, DASHBOARD.path],
]);

/** The guides as pages and their files, by path. */
export function guideDocuments(): Record<string, StaticDocument> {
  const guides = GUIDES.map(([file, path, title]): [string, StaticDocument] => [
    path,
    new StaticDocument('text/html; charset=utf-8', () => renderGuide(file, path, title), { policy: PAGE_POLICY }),
  ]);
  const dashboard = new StaticDocument('application/json; charset=utf-8', () =>
    readFile(projectFile(`docs/${DASHBOARD.file}`)),
  );
  return { ...Object.fromEntries(guides), [DASHBOARD.path]: dashboard };
}

/** A link to a file that is not served becomes text. */
async function renderGuide(file: string, path: string, title: string): Promise<string> {
  const markdown = await readFile(projectFile(`docs/${file}`), 'utf8');
  const marked = new Marked().use(gfmHeadingId(), {
    renderer: {
      link({ href, tokens }) {
        const text = this.parser.parseInline(tokens);
        const [name = '', fragment] = href.split('#');
        const target = name === '' ? '' : PATHS.get(name);
        if (target === undefined) return text;
        return `<a href="${target}${fragment === undefined ? '' : `#${fragment}`}">${text}</a>`;
      },
    },
  });
  // The list of headings is state of the package, until the next text is parsed.
  const body = marked.parse(markdown.replace(/^# .*\n/, ''), { async: false });
  const headings = getHeadingList().filter(({ level }) => level === 2);
  const contents = headings.map(({ id, text }) => ({ href: `#${id}`, text }));
  return htmlPage(title, body, { links: GUIDE_LINKS, current: path, contents });
}
