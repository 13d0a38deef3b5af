import { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget, UseSignal } from '@jupyterlab/ui-components';
import * as React from 'react';

import { count } from './format';
import { lambdaIcon } from './icons';
import { ILambdaModel } from './tokens';

/** In the status bar: how many invocations run; a click shows the panel. */
export function statusItem(model: ILambdaModel, trans: TranslationBundle, open: () => void): ReactWidget {
  const widget = ReactWidget.create(
    <UseSignal signal={model.changed}>
      {() => {
        const { running, ready, keeper } = model.state;
        const said = ready
          ? running
            ? trans.__('%1 running', count(running))
            : trans.__('idle')
          : keeper?.state === 'failed'
            ? trans.__('failed')
            : trans.__('off');
        return (
          <button
            className="jp-LambdaStatus"
            title={trans.__('Functions: %1', said)}
            aria-label={trans.__('Functions: %1', said)}
            onClick={open}
          >
            <lambdaIcon.react tag="span" className="jp-LambdaStatus-icon" />
            <span>{said}</span>
          </button>
        );
      }}
    </UseSignal>
  );
  widget.addClass('jp-LambdaStatusItem');
  return widget;
}
