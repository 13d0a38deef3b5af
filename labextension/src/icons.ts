import { LabIcon } from '@jupyterlab/ui-components';

export const lambdaIcon = new LabIcon({
  name: 'jupyter-lambda:lambda',
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">
  <path class="jp-icon3 jp-icon-selectable" fill="#616161"
    d="M6 3h4.6l6.2 14.6 1.9-.9.9 2.1L15.2 21h-.9L10.7 12.4 7 21H4.2l5.2-12L8.9 5.4H6z"/>
</svg>`
});
