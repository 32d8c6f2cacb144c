import { defineConfig } from 'vite';

/** The page is served at `/browse`; its script and style have names with a hash, so that a browser may keep them. */
export default defineConfig({
  base: '/browse/',
  publicDir: 'public',
  build: {
    outDir: '../../dist/web',
    emptyOutDir: true,
    target: 'es2022',
    // The Content-Security-Policy allows no data: URLs.
    assetsInlineLimit: 0,
    modulePreload: false,
  },
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
});
