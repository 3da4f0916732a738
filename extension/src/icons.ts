import { LabIcon } from '@jupyterlab/ui-components';

/** One route that splits: the upper end answers (filled), the lower one is compared (hollow). */
const ROUTE = `<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16" viewBox="0 0 24 24">
  <g class="jp-icon3" fill="none" stroke="#616161" stroke-width="2" stroke-linecap="round" stroke-linejoin="round">
    <path d="M7.5 12H10c4 0 2.5-5.5 6.2-5.5M10 12c4 0 2.5 5.5 6.2 5.5" fill="none"/>
  </g>
  <g class="jp-icon3" fill="#616161">
    <path d="M4.5 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6z"/>
    <path d="M19.2 3.4a3.1 3.1 0 1 0 0 6.2 3.1 3.1 0 0 0 0-6.2z"/>
    <path fill-rule="evenodd" d="M19.2 14.4a3.1 3.1 0 1 0 0 6.2 3.1 3.1 0 0 0 0-6.2zm0 1.9a1.2 1.2 0 1 1 0 2.4 1.2 1.2 0 0 1 0-2.4z"/>
  </g>
</svg>`;

export const prodmlIcon = new LabIcon({ name: 'prodml:route', svgstr: ROUTE });
