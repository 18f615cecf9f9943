// Builds dist/ (or the folder that is named): loader.js and stub.js under fixed names, everything else in a folder named by its hash, and the page that names it.
import { build } from 'esbuild';
import { minify } from 'terser';
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const src = fileURLToPath(new URL('src/', import.meta.url));
const dist = process.argv[2] ? resolve(process.argv[2]) + '/' : fileURLToPath(new URL('dist/', import.meta.url));

/** Names of our own objects only; none is a word of the protocol, of the DOM or of what crosses the channel. */
const OWN_NAMES =
  /^(lastSeq|began|posted|acked|failed|arrived|toEnd|dots|restart|wake|waiting|restore|settle|refuse|shown|held|thumbs|chunks|forget|look|greet|note|put|drop|taken|leadForm|ratingForm|hide|items|state|hello|silence)$/;

/** esbuild resolves and strips types; terser leaves less for gzip than any other minifier tried. */
async function script(options, ascii) {
  const { outputFiles } = await build({
    bundle: true,
    write: false,
    target: 'es2022',
    charset: 'utf8',
    legalComments: 'none',
    logLevel: 'warning',
    outdir: '/',
    ...options,
  });
  return Promise.all(
    outputFiles.map(async (file) => {
      const common = { ecma: 2020, module: options.format === 'esm', format: { ascii_only: ascii } };
      const compress = { passes: 3, unsafe_arrows: true, pure_getters: true };
      const once = await minify(file.text, { ...common, compress, mangle: { properties: { regex: OWN_NAMES, builtins: true } } });
      // A second look at its own output names things more alike, which gzip rewards.
      const twice = await minify(once.code, { ...common, compress: { ...compress, hoist_vars: true } });
      return { path: file.path.slice(1), code: twice.code };
    }),
  );
}

/** Everything that belongs into dist/, by its path there. */
const wanted = new Map();

// The host page decides the encoding of a classic script, so it is plain ASCII.
const [loader] = await script({ entryPoints: [src + 'host/loader.ts'], format: 'iife' }, true);
wanted.set('loader.js', loader.code);

const languages = (await readdir(src + 'frame/lang')).map((name) => `${src}frame/lang/${name}`);
const files = await script({
  // One flat folder: the script finds a language by its name.
  entryPoints: [...languages, src + 'frame/main.ts', src + 'frame/alone.ts'].map((file) => ({
    in: file,
    out: basename(file, '.ts').replace('main', 'frame'),
  })),
  external: ['./alone.js'],
  format: 'esm',
});

const styles = await build({ entryPoints: [src + 'frame.css'], minify: true, charset: 'utf8', write: false, target: 'chrome123' });
// esbuild keeps blanks and names inside custom properties; these two are also set by the script.
const text = styles.outputFiles[0].text;
const tokens = [...new Set(text.match(/--[\w-]+/g))];
const shorten = (name) => (/^--(brand|r)$/.test(name) ? name : '--' + tokens.indexOf(name).toString(36));
files.push({ path: 'frame.css', code: text.replace(/--[\w-]+/g, shorten).replace(/([,(/:]) +/g, '$1') });

// One hash for all of them, in the folder's name: they are cached for good and always fit each other.
const hash = createHash('sha256');
for (const { path, code } of files) hash.update(path).update(code);
const folder = hash.digest('hex').slice(0, 8);
for (const { path, code } of files) wanted.set(`assets/${folder}/${path}`, code);

const html = await readFile(src + 'frame.html', 'utf8');
wanted.set(
  'frame.html',
  html
    .replace(/\n/g, '')
    .replace(/="(-?[a-z\d][\w./-]*)"/g, '=$1')
    .replaceAll('__BUILD__', folder),
);

const stub = await readFile(src + 'stub.js', 'utf8');
wanted.set('stub.js', stub.replace(/^\/\*.*\*\/\n/, ''));

// The server's build looks at the times of these files: one whose bytes are the same stays untouched, so that nothing is compiled again.
const belongs = (path) => [...wanted.keys()].some((name) => name === path || name.startsWith(path + '/'));
const there = await readdir(dist, { recursive: true }).catch((error) => {
  if (error.code === 'ENOENT') return [];
  throw error;
});
for (const path of there) if (!belongs(path)) await rm(dist + path, { recursive: true, force: true });
for (const [path, code] of wanted) {
  const same = await readFile(dist + path, 'utf8').then((old) => old === code, () => false);
  if (same) continue;
  await mkdir(dirname(dist + path), { recursive: true });
  await writeFile(dist + path, code);
}
