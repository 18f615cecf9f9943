// Builds dist/ (index.html and hashed files below /app/assets), runs the unit tests, and in development hands calls to a running server.
import { svelte } from '@sveltejs/vite-plugin-svelte';
import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

const backend = process.env.COLLOQUY_URL ?? 'http://127.0.0.1:8080';
const proxy = Object.fromEntries(
  ['/api', '/login', '/signup', '/logout', '/magic-link', '/forgot-password', '/reset-password', '/widget', '/demo', '/docs', '/dev', '/pages.css'].map((path) => [path, { target: backend, ws: true }]),
);

/** Names the code of the home page in the shell, so that `first-1.js` has it fetched beside the console's own and not after it. */
const home: Plugin = {
  name: 'colloquy-home',
  transformIndexHtml: {
    order: 'post',
    handler(html, { bundle }) {
      const chunks = Object.values(bundle ?? {}).filter((one) => one.type === 'chunk');
      const named = new Set<string>();
      const take = (chunk: (typeof chunks)[number] | undefined) => {
        if (!chunk || named.has(chunk.fileName)) return;
        named.add(chunk.fileName);
        chunk.viteMetadata?.importedCss.forEach((file) => named.add(file));
        chunk.imports.forEach((file) => take(chunks.find((one) => one.fileName === file)));
      };
      take(chunks.find((one) => one.facadeModuleId?.endsWith('/pages/Overview.svelte')));
      const files = [...named].map((file) => '/app/' + file).filter((file) => !html.includes(file));
      return html.replace('<title>', `<meta name="colloquy-home" content="${files.join(' ')}" />\n    <title>`);
    },
  },
};

export default defineConfig({
  base: '/app/',
  plugins: [svelte(), home],
  resolve: process.env.VITEST ? { conditions: ['browser'] } : {},
  build: {
    target: 'es2022',
    // The budget counts what the first load fetches; everything else is a chunk of its route.
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  // The server has to be told this address as its `public.url`: it takes a browser's socket from there only.
  server: { port: 5180, strictPort: true, proxy },
  preview: { port: 5180, strictPort: true, proxy },
  test: { include: ['test/**/*.test.ts'], environment: 'happy-dom' },
});
