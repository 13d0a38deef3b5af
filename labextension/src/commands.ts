import { JupyterFrontEnd } from '@jupyterlab/application';
import { Clipboard, Dialog, Notification, showDialog } from '@jupyterlab/apputils';
import { TranslationBundle } from '@jupyterlab/translation';
import { copyIcon, deleteIcon, runIcon, stopIcon } from '@jupyterlab/ui-components';
import { Widget } from '@lumino/widgets';

import { callLine, cut } from './format';
import { lambdaIcon } from './icons';
import { ILambdaModel } from './tokens';

export namespace CommandIDs {
  export const open = 'jupyter-lambda:open';
  export const startEngine = 'jupyter-lambda:start-engine';
  export const invoke = 'jupyter-lambda:invoke';
  export const copyCall = 'jupyter-lambda:copy-call';
  export const stopRunning = 'jupyter-lambda:stop-running';
  export const remove = 'jupyter-lambda:delete';
}

const SELECTOR = '.jp-LambdaFunction';
/** Characters of an answer that a notification shows. */
const ANSWER_MAX = 300;

/** What can be done with the engine and a function: by menu, by key, by the command palette's list. */
export function addCommands(
  app: JupyterFrontEnd,
  model: ILambdaModel,
  trans: TranslationBundle,
  panelId: string
): void {
  const { commands } = app;
  const events = new Map<string, string>();
  /** The function that a command is about: named, under the pointer, or in focus. */
  const named = (args: { function?: unknown }): string | undefined => {
    if (typeof args.function === 'string') {
      return args.function;
    }
    const hit = app.contextMenuHitTest(node => node.matches(SELECTOR));
    const focused = document.activeElement?.closest<HTMLElement>(SELECTOR);
    return hit?.dataset.function ?? focused?.dataset.function;
  };
  const add = (id: string, label: string, icon: typeof runIcon, act: (name: string) => Promise<void>): void => {
    commands.addCommand(id, {
      label,
      icon,
      isVisible: args => named(args) !== undefined,
      execute: async args => {
        const name = named(args);
        if (name !== undefined) {
          await guarded(trans, () => act(name));
        }
      }
    });
  };

  commands.addCommand(CommandIDs.open, {
    label: trans.__('Show Functions'),
    icon: lambdaIcon,
    execute: () => app.shell.activateById(panelId)
  });
  commands.addCommand(CommandIDs.startEngine, {
    label: trans.__('Start the Functions’ Engine'),
    icon: lambdaIcon,
    isEnabled: () => !model.state.ready,
    execute: () => guarded(trans, () => model.startEngine())
  });
  add(CommandIDs.invoke, trans.__('Invoke…'), runIcon, async name => {
    const event = await askEvent(name, events.get(name) ?? '{}', trans);
    if (event !== null) {
      events.set(name, event);
      const answer = await model.invoke(name, event);
      const text = `${name}: ${cut(answer.payload, ANSWER_MAX)}`;
      if (answer.ok) {
        Notification.success(text, { autoClose: 5000 });
      } else {
        Notification.error(text, { autoClose: false });
      }
    }
  });
  add(CommandIDs.copyCall, trans.__('Copy Call'), copyIcon, async name => {
    Clipboard.copyToSystem(callLine(name, events.get(name) ?? '{}'));
    await Promise.resolve();
  });
  add(CommandIDs.stopRunning, trans.__('Stop What Runs'), stopIcon, async name => {
    const stopped = await model.stopRunning(name);
    Notification.info(trans._n('%2: stopped %1 invocation', '%2: stopped %1 invocations', stopped, name), {
      autoClose: 3000
    });
  });
  add(CommandIDs.remove, trans.__('Delete…'), deleteIcon, async name => {
    const asked = await showDialog({
      title: trans.__('Delete %1?', name),
      body: trans.__('The function, its versions and its triggers are removed. Its log stays.'),
      buttons: [Dialog.cancelButton(), Dialog.warnButton({ label: trans.__('Delete') })],
      defaultButton: 0
    });
    if (asked.button.accept) {
      await model.remove(name);
    }
  });
  const items = [CommandIDs.invoke, CommandIDs.copyCall, CommandIDs.stopRunning, CommandIDs.remove];
  items.forEach((command, rank) => app.contextMenu.addItem({ command, selector: SELECTOR, rank }));
}

/** Say what went wrong where the person looks. */
async function guarded(trans: TranslationBundle, act: () => Promise<void>): Promise<void> {
  try {
    await act();
  } catch (error) {
    Notification.error(error instanceof Error ? error.message : trans.__('It failed: %1', String(error)), {
      autoClose: false
    });
  }
}

class EventEditor extends Widget implements Dialog.IBodyWidget<string> {
  constructor(event: string, label: string, problem: string) {
    super();
    this.addClass('jp-LambdaEvent');
    this._text.value = event;
    this._text.rows = 8;
    this._text.spellcheck = false;
    this._text.setAttribute('aria-label', label);
    this.node.append(this._text);
    if (problem) {
      const said = document.createElement('p');
      said.setAttribute('role', 'alert');
      said.textContent = problem;
      this.node.append(said);
    }
  }

  getValue(): string {
    return this._text.value;
  }

  private readonly _text = document.createElement('textarea');
}

/** The event to send, JSON; null: none. Asks again until it is JSON. */
async function askEvent(name: string, event: string, trans: TranslationBundle): Promise<string | null> {
  let problem = '';
  for (;;) {
    const asked = await showDialog({
      title: trans.__('Invoke %1 with this event', name),
      body: new EventEditor(event, trans.__('Event, JSON'), problem),
      buttons: [Dialog.cancelButton(), Dialog.okButton({ label: trans.__('Invoke') })],
      focusNodeSelector: 'textarea'
    });
    if (!asked.button.accept) {
      return null;
    }
    event = (asked.value ?? '').trim() || '{}';
    try {
      JSON.parse(event);
      return event;
    } catch (error) {
      problem = trans.__('Not JSON: %1', cut(error instanceof Error ? error.message : String(error), 120));
    }
  }
}
