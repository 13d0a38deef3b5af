import { ILayoutRestorer, JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { IStatusBar } from '@jupyterlab/statusbar';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { Api } from './api';
import { addCommands, CommandIDs } from './commands';
import { LambdaModel } from './model';
import { showFailures } from './notices';
import { LambdaPanel } from './panel';
import { statusItem } from './statusitem';
import { ILambdaModel } from './tokens';

const DOMAIN = 'jupyter_lambda';

const model: JupyterFrontEndPlugin<ILambdaModel> = {
  id: 'jupyter-lambda:model',
  description: 'Listens to the engine by way of the Jupyter server.',
  autoStart: true,
  provides: ILambdaModel,
  activate: (app: JupyterFrontEnd) => new LambdaModel(new Api(app.serviceManager.serverSettings))
};

const panel: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-lambda:panel',
  description: 'The panel of functions and its commands.',
  autoStart: true,
  requires: [ILambdaModel],
  optional: [ITranslator, ICommandPalette, ILayoutRestorer],
  activate: (
    app: JupyterFrontEnd,
    model: ILambdaModel,
    translator: ITranslator | null,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null
  ) => {
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    const widget = new LambdaPanel({ model, commands: app.commands, trans });
    addCommands(app, model, trans, widget.id);
    app.shell.add(widget, 'left', { rank: 450 });
    restorer?.add(widget, widget.id);
    for (const command of [CommandIDs.open, CommandIDs.startEngine]) {
      palette?.addItem({ command, category: trans.__('Functions') });
    }
  }
};

const status: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-lambda:status',
  description: 'What runs, in the status bar.',
  autoStart: true,
  requires: [ILambdaModel],
  optional: [ITranslator, IStatusBar],
  activate: (
    app: JupyterFrontEnd,
    model: ILambdaModel,
    translator: ITranslator | null,
    statusBar: IStatusBar | null
  ) => {
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    statusBar?.registerStatusItem('jupyter-lambda:status', {
      item: statusItem(model, trans, () => void app.commands.execute(CommandIDs.open)),
      align: 'left',
      rank: 10
    });
  }
};

const notices: JupyterFrontEndPlugin<void> = {
  id: 'jupyter-lambda:notices',
  description: 'Tells of scheduled runs that failed.',
  autoStart: true,
  optional: [ITranslator],
  activate: (app: JupyterFrontEnd, translator: ITranslator | null) => {
    showFailures(app.serviceManager.events, (translator ?? nullTranslator).load(DOMAIN));
  }
};

export { ILambdaModel } from './tokens';
export default [model, panel, status, notices];
