import { readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { projectFile } from '#platform';
import { StaticDocument } from './static-document.js';

const FOLDER = 'dist/web';

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** The page talks to this server only, and nothing may embed it: it holds a key. */
const BROWSE_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/**
 * The browser page, which the build bundles into `dist/web`, by URL. The name after `/browse` is that of a view.
 * @throws Error where it has not been built
 */
export function browseDocuments(): Record<string, StaticDocument> {
  const index = file('index.html', { policy: BROWSE_POLICY });
  const icon = file('favicon.svg');
  const assets = readdirSync(projectFile(`${FOLDER}/assets`)).map((name) => [
    `/browse/assets/${name}`,
    // The name of an asset has a hash of its content.
    file(join('assets', name), { cacheControl: 'public, max-age=31536000, immutable' }),
  ]);
  return {
    '/browse': index,
    '/browse/:view': index,
    '/browse/favicon.svg': icon,
    // Browsers request it for every other page.
    '/favicon.ico': icon,
    ...(Object.fromEntries(assets) as Record<string, StaticDocument>),
  };
}

function file(name: string, options?: { cacheControl?: string; policy?: string }): StaticDocument {
  const path = projectFile(`${FOLDER}/${name}`);
  return new StaticDocument(TYPES[extname(name)] ?? 'application/octet-stream', () => readFile(path), options);
}
