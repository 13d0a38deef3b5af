import { Notification } from '@jupyterlab/apputils';
import { Event } from '@jupyterlab/services';
import { TranslationBundle } from '@jupyterlab/translation';

/** The server emits it once for each scheduled run that failed. */
const RUN_FAILED = 'https://schema.jupyter.org/jupyter_lambda/run_failed/v1';

/** Show failures of scheduled runs until they are dismissed. */
export function showFailures(events: Event.IManager, trans: TranslationBundle): void {
  events.stream.connect((_, event) => {
    if (event.schema_id === RUN_FAILED) {
      const { notebook, reason } = event as unknown as { notebook: string; reason: string };
      Notification.error(trans.__('The scheduled run of %1 failed: %2', notebook, reason), { autoClose: false });
    }
  });
}
