// Builds dist/ (index.html and hashed files below /app/assets), runs the unit tests, and in development hands calls to a running server.
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

const backend = process.env.COLLOQUY_URL ?? 'http://127.0.0.1:8080';
const proxy = Object.fromEntries(
  ['/api', '/login', '/signup', '/logout', '/magic-link', '/forgot-password', '/reset-password', '/widget', '/demo', '/docs', '/dev', '/pages.css'].map((path) => [path, { target: backend, ws: true }]),
);

export default defineConfig({
  base: '/app/',
  plugins: [svelte()],
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
