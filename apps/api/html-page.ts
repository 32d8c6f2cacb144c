import { hash } from 'node:crypto';

const STYLE = `
  :root { color-scheme: light dark; --text: #1c2430; --muted: #596577; --back: #fff; --raised: #f5f7fa; --line: #d8dee8; --accent: #1d5fb8; --mark: #fff3c4 }
  @media (prefers-color-scheme: dark) {
    :root { --text: #e4e9f1; --muted: #a3afc0; --back: #12161d; --raised: #1a2029; --line: #323c4b; --accent: #7db2f5; --mark: #4a3f14 }
  }
  body { font: 16px/1.55 system-ui, sans-serif; margin: 0; color: var(--text); background: var(--back) }
  a { color: var(--accent) }
  .top { display: flex; flex-wrap: wrap; gap: .2em 1em; padding: .6em 1em; background: var(--raised); border-bottom: 1px solid var(--line) }
  .top a[aria-current] { font-weight: 600 }
  .columns { display: flex; gap: 2em; max-width: 76em; margin: 0 auto; padding: 0 1em }
  .contents { flex: 0 0 15em; position: sticky; top: 0; align-self: flex-start; max-height: 100vh; overflow: auto; padding: 1.5em 0; font-size: .9em; box-sizing: border-box }
  .contents ul { list-style: none; margin: 0; padding: 0 } .contents li { padding: .15em 0 }
  main { flex: 1; min-width: 0; padding-bottom: 6em; overflow-wrap: anywhere }
  h1, h2, h3 { line-height: 1.25; scroll-margin-top: .5em } h2 { margin-top: 2em }
  table { display: block; overflow: auto; border-collapse: collapse }
  td, th { padding: .3em 1em .3em 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); overflow-wrap: normal }
  code, pre { font: 14px/1.45 ui-monospace, monospace; background: var(--raised); border-radius: 4px; padding: .1em .3em }
  pre { padding: .8em; overflow: auto } pre code { padding: 0 } :target { background: var(--mark) }
  @media (max-width: 48em) { .columns { display: block } .contents { position: static; max-height: none } }
`;

/** The Content-Security-Policy of `htmlPage`: nothing but its own style, and the icon. */
export const PAGE_POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${hash('sha256', STYLE, 'base64')}'`,
  "img-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** A link with a text that is escaped. */
export interface PageLink {
  href: string;
  text: string;
}

interface PageOptions {
  /** The links at the top of the page. */
  links?: readonly PageLink[];
  /** The one of the page itself. */
  current?: string;
  /** The headings of the page. */
  contents?: readonly PageLink[];
}

/** An HTML page that needs no scripts. @param body HTML from the project's own files; it is not escaped */
export function htmlPage(
  title: string,
  body: string,
  { links = [], current, contents = [] }: PageOptions = {},
): string {
  const top = links.map(
    ({ href, text }) => `<a href="${href}"${href === current ? ' aria-current="page"' : ''}>${text}</a>`,
  );
  const items = contents.map(({ href, text }) => `<li><a href="${href}">${text}</a></li>`);
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${title}</title>
<link rel="icon" href="/favicon.ico" type="image/svg+xml">
<style>${STYLE}</style>
${top.length === 0 ? '' : `<nav class="top" aria-label="Documents">${top.join('\n')}</nav>`}
<div class="columns">
${items.length === 0 ? '' : `<nav class="contents" aria-label="Contents"><ul>${items.join('\n')}</ul></nav>`}
<main>
<h1>${title}</h1>
${body}
</main>
</div>
</html>
`;
}
