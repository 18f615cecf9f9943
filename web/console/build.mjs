// Builds dist/ with vite. The server's build looks at the times of these files: one whose bytes are the same stays untouched, so that nothing is compiled again.
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';

const here = fileURLToPath(new URL('.', import.meta.url));
const dist = join(here, 'dist');
await mkdir(dist, { recursive: true });
const fresh = await mkdtemp(join(here, 'node_modules', '.dist-')).catch(async () => {
  await mkdir(join(here, 'node_modules'), { recursive: true });
  return mkdtemp(join(here, 'node_modules', '.dist-'));
});
try {
  await build({ root: here, logLevel: 'warn', build: { outDir: fresh, emptyOutDir: true } });
  const files = async (folder) =>
    (await readdir(folder, { recursive: true, withFileTypes: true }))
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));
  const wanted = new Set(await files(fresh));
  for (const path of await files(dist)) if (!wanted.has(path)) await rm(join(dist, path));
  for (const path of wanted) {
    const bytes = await readFile(join(fresh, path));
    const same = await readFile(join(dist, path)).then((old) => old.equals(bytes), () => false);
    if (same) continue;
    await mkdir(dirname(join(dist, path)), { recursive: true });
    await writeFile(join(dist, path), bytes);
  }
} finally {
  await rm(fresh, { recursive: true, force: true });
}
