import { hash } from 'node:crypto';

const STYLE = `
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 50em; margin: 2em auto; padding: 0 1em; color: #222 }
  h1, h2 { line-height: 1.2 } a { color: #05a }
  td, th { padding: .3em 1em .3em 0; text-align: left; vertical-align: top }
  code, pre { font: 14px/1.4 ui-monospace, monospace; background: #f4f4f4; padding: .1em .3em }
  pre { padding: .8em; overflow: auto } :target { background: #ffc }
`;

/** The Content-Security-Policy of `htmlPage`: nothing but its own style. */
export const PAGE_POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${hash('sha256', STYLE, 'base64')}'`,
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** An HTML page that needs no scripts. @param body HTML from the project's own files; it is not escaped */
export function htmlPage(title: string, body: string): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${title}</title>
<style>${STYLE}</style>
<h1>${title}</h1>
${body}
</html>
`;
}
