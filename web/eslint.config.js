// What is wrong in TypeScript, Svelte and scripts, and how it is laid out: types are checked by tsc and svelte-check, everything else here.
import js from '@eslint/js';
import stylistic from '@stylistic/eslint-plugin';
import svelte from 'eslint-plugin-svelte';
import globals from 'globals';
import ts from 'typescript-eslint';

/** The layout, as far as it is not a matter of taste. Lines are as long as what they say. */
const layout = {
  '@stylistic/arrow-parens': ['error', 'always'],
  '@stylistic/comma-spacing': 'error',
  '@stylistic/eol-last': 'error',
  '@stylistic/key-spacing': 'error',
  '@stylistic/keyword-spacing': 'error',
  '@stylistic/linebreak-style': ['error', 'unix'],
  '@stylistic/no-multiple-empty-lines': ['error', { max: 1, maxBOF: 0, maxEOF: 0 }],
  '@stylistic/no-tabs': 'error',
  '@stylistic/no-trailing-spaces': 'error',
  '@stylistic/object-curly-spacing': ['error', 'always'],
  '@stylistic/quotes': ['error', 'single', { avoidEscape: true, allowTemplateLiterals: 'always' }],
  '@stylistic/semi': ['error', 'always'],
  '@stylistic/space-before-blocks': 'error',
  '@stylistic/space-infix-ops': 'error',
};

export default ts.config(
  { ignores: ['**/dist/', '**/node_modules/', 'generated/', 'widget/src/stub.js', 'console/public/'] },
  js.configs.recommended,
  ...ts.configs.recommended,
  ...svelte.configs.recommended,
  {
    plugins: { '@stylistic': stylistic },
    languageOptions: { globals: { ...globals.browser, ...globals.node } },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      ...layout,
      eqeqeq: ['error', 'smart'],
      'no-var': 'error',
      'prefer-const': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_', ignoreRestSiblings: true, caughtErrors: 'none' }],
      // Texts of others are shown as texts: in no component is there a door for markup.
      'svelte/no-at-html-tags': 'error',
      // State is replaced as a whole here (`$state.raw`): what is built up inside of a function needs no eyes on it.
      'svelte/prefer-svelte-reactivity': 'off',
      // A space of its own between two badges is written as one.
      'svelte/no-useless-mustaches': 'off',
      // Which warnings there are is the compiler's to say: svelte-check fails on them.
      'svelte/no-unused-svelte-ignore': 'off',
      // Addresses of the console are built by hand; its router is its own.
      'svelte/no-navigation-without-resolve': 'off',
    },
  },
  // What a component is given is written with `let`, as all of Svelte does.
  { files: ['**/*.svelte', '**/*.svelte.ts'], languageOptions: { parserOptions: { parser: ts.parser } }, rules: { 'prefer-const': 'off', 'svelte/prefer-const': ['error', { excludedRunes: ['$props', '$derived'] }] } },
  // The layout of union types and of markup inside templates is left alone.
  { files: ['**/*.ts', '**/*.mjs', '**/*.js'], rules: { '@stylistic/indent': ['error', 2, { SwitchCase: 1, ignoredNodes: ['TemplateLiteral *', 'TSUnionType', 'TSUnionType *'] }] } },
  // What a host page hands over is anything, until it is looked at.
  { files: ['widget/src/host/**'], rules: { '@typescript-eslint/no-explicit-any': 'off' } },
  // Tests reach into pages, where other names are known, and into what is not theirs.
  { files: ['**/test/**', 'e2e/**'], languageOptions: { globals: { vbot: 'readonly', log: 'readonly' } }, rules: { '@typescript-eslint/no-explicit-any': 'off', 'no-control-regex': 'off' } },
);
