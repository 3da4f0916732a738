import js from '@eslint/js';
import jupyter from '@jupyter/eslint-plugin';
import hooks from 'eslint-plugin-react-hooks';
import typescript from 'typescript-eslint';

// Labels are English for now: there are no translations, so that nothing is looked up in a bundle.
const untranslated = {
  'jupyter/no-untranslated-string': 'off'
};

export default typescript.config(
  { ignores: ['extension/lib/'] },
  ...jupyter.configs.recommended.map(config => ({
    plugins: { jupyter },
    ...config
  })),
  {
    files: ['extension/**/*.{ts,tsx}'],
    extends: [
      js.configs.recommended,
      ...typescript.configs.recommended,
      hooks.configs.flat.recommended
    ],
    languageOptions: {
      parserOptions: {
        projectService: true,
        tsconfigRootDir: import.meta.dirname
      }
    },
    rules: {
      ...untranslated,
      '@typescript-eslint/consistent-type-imports': [
        'error',
        { fixStyle: 'inline-type-imports' }
      ],
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-explicit-any': 'error',
      curly: ['error', 'all'],
      eqeqeq: 'error'
    }
  }
);
