import { TranslationBundle } from '@jupyterlab/translation';
import { LabIcon, ReactWidget, runIcon, searchIcon, UseSignal } from '@jupyterlab/ui-components';
import { CommandRegistry } from '@lumino/commands';
import { Message } from '@lumino/messaging';
import * as React from 'react';

import { CommandIDs } from './commands';
import { clock, count, until } from './format';
import { lambdaIcon } from './icons';
import { Sparkline } from './sparkline';
import { BAR_S, IRow } from './state';
import { ILambdaModel, ISchedule } from './tokens';

/** Rows that are drawn; the rest is found by the search. */
const ROWS_MAX = 200;

interface IContext {
  model: ILambdaModel;
  commands: CommandRegistry;
  trans: TranslationBundle;
}

/** The left panel: the engine, its functions as they work, and what runs next. */
export class LambdaPanel extends ReactWidget {
  constructor(private readonly _context: IContext) {
    super();
    const { trans } = _context;
    this.id = 'jupyter-lambda-panel';
    this.title.icon = lambdaIcon;
    this.title.caption = trans.__('Functions');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', trans.__('Functions'));
    this.addClass('jp-LambdaPanel');
  }

  protected override onAfterShow(msg: Message): void {
    super.onAfterShow(msg);
    // Sparklines move on where nothing happens.
    this._timer = setInterval(() => this.update(), BAR_S * 1000);
    this.update();
  }

  protected override onAfterHide(msg: Message): void {
    super.onAfterHide(msg);
    clearInterval(this._timer);
  }

  protected override onActivateRequest(): void {
    this.node.querySelector<HTMLElement>('.jp-LambdaPanel-search input')?.focus();
  }

  protected override render(): JSX.Element {
    return (
      <UseSignal signal={this._context.model.changed}>
        {() => (this.isVisible ? <Panel {...this._context} now={Date.now() / 1000} /> : <></>)}
      </UseSignal>
    );
  }

  private _timer: ReturnType<typeof setInterval> | undefined;
}

function Panel(props: IContext & { now: number }): JSX.Element {
  const { model, trans, now } = props;
  const [search, setSearch] = React.useState('');
  const rows = model.state.rows(search);
  return (
    <>
      <Engine {...props} />
      <div className="jp-LambdaPanel-search">
        <searchIcon.react tag="span" className="jp-LambdaPanel-searchIcon" />
        <input
          type="search"
          className="jp-mod-styled"
          placeholder={trans.__('Search functions')}
          aria-label={trans.__('Search functions')}
          value={search}
          onChange={event => setSearch(event.target.value)}
        />
      </div>
      <div className="jp-LambdaPanel-scroll">
        <Heading text={trans.__('Functions')} number={rows.length} />
        {model.problem && (
          <p className="jp-LambdaPanel-problem" role="alert">
            {model.problem}
          </p>
        )}
        <ul className="jp-LambdaPanel-list" aria-label={trans.__('Functions')} onKeyDown={moveFocus}>
          {rows.slice(0, ROWS_MAX).map(row => (
            <FunctionRow key={row.name} row={row} {...props} />
          ))}
        </ul>
        {rows.length > ROWS_MAX && (
          <p className="jp-LambdaPanel-hint">{trans.__('%1 more: search for them', rows.length - ROWS_MAX)}</p>
        )}
        {model.state.ready && rows.length === 0 && (
          <p className="jp-LambdaPanel-hint">
            {search ? (
              trans.__('No function matches.')
            ) : (
              <>
                {trans.__('Begin a cell with')} <code>%%lambda NAME</code>{' '}
                {trans.__('and run it: it becomes a function.')}
              </>
            )}
          </p>
        )}
        {model.schedules.length > 0 && (
          <>
            <Heading text={trans.__('Schedules')} number={model.schedules.length} />
            <ul className="jp-LambdaPanel-list" aria-label={trans.__('Schedules')}>
              {model.schedules.slice(0, ROWS_MAX).map(one => (
                <ScheduleRow key={one.trigger} schedule={one} now={now} trans={trans} />
              ))}
            </ul>
          </>
        )}
      </div>
    </>
  );
}

function Heading(props: { text: string; number: number }): JSX.Element {
  return (
    <h2 className="jp-LambdaPanel-heading">
      {props.text} <span className="jp-LambdaPanel-number">{props.number}</span>
    </h2>
  );
}

function Engine(props: IContext): JSX.Element {
  const { model, commands, trans } = props;
  const { keeper, engine, ready } = model.state;
  const driver = keeper?.driver ?? engine?.driver;
  const isolated = keeper?.isolated ?? engine?.isolated;
  const words: Record<string, string> = {
    stopped: trans.__('No engine runs'),
    starting: trans.__('The engine starts…'),
    restarting: trans.__('The engine starts again…'),
    failed: trans.__('The engine failed'),
    ready: driver === 'docker' ? trans.__('Runs in Docker') : trans.__('Runs in processes'),
    elsewhere: trans.__('Runs elsewhere')
  };
  const said =
    ready && engine?.draining ? trans.__('The engine ends') : keeper ? words[keeper.state] : trans.__('Connecting…');
  const startable = keeper?.state === 'stopped' || keeper?.state === 'failed';
  return (
    <div className="jp-LambdaPanel-engine" data-state={keeper?.state ?? 'connecting'} role="status">
      <span className="jp-LambdaPanel-dot" aria-hidden="true" />
      <span className="jp-LambdaPanel-engineText" title={keeper?.message || said}>
        {said}
      </span>
      {ready && isolated === false && (
        <span
          className="jp-LambdaPanel-badge"
          title={trans.__('Functions run as plain processes of this computer: run only code that you trust.')}
        >
          {trans.__('not isolated')}
        </span>
      )}
      {startable && (
        <button
          className="jp-mod-styled jp-mod-minimal jp-LambdaPanel-start"
          onClick={() => void commands.execute(CommandIDs.startEngine)}
        >
          {trans.__('Start')}
        </button>
      )}
    </div>
  );
}

function FunctionRow(props: IContext & { row: IRow; now: number }): JSX.Element {
  const { row, commands, trans, now } = props;
  const { counts, errors } = row.bars.at(now);
  const state = row.running ? 'running' : row.lastFailed ? 'failed' : 'idle';
  const runs = trans._n('%2 run', '%2 runs', row.invocations, count(row.invocations));
  const failed = row.errors ? trans._n('%2 error', '%2 errors', row.errors, count(row.errors)) : '';
  const throttled = row.throttles ? trans.__('%1 throttled', count(row.throttles)) : '';
  const running = row.running ? trans.__('%1 running', count(row.running)) : '';
  const words: Record<string, string> = {
    running,
    failed: trans.__('its last run failed'),
    idle: trans.__('idle')
  };
  const label = [row.name, words[state], runs, failed, throttled].filter(Boolean).join(', ');
  return (
    <li
      className="jp-LambdaFunction"
      data-function={row.name}
      data-state={state}
      tabIndex={0}
      aria-label={label}
      title={trans.__('%1: %2 MB, %3 s\n%4', row.runtime || row.name, row.memoryMb, row.timeoutS, row.description)}
      onKeyDown={event => onKey(event, row.name, commands)}
    >
      <div className="jp-LambdaFunction-line">
        <span className="jp-LambdaPanel-dot" aria-hidden="true" />
        <span className="jp-LambdaFunction-name">{row.name}</span>
        <IconButton
          icon={runIcon}
          label={trans.__('Invoke %1…', row.name)}
          onClick={() => void commands.execute(CommandIDs.invoke, { function: row.name })}
        />
        {running && <span className="jp-LambdaFunction-running">{running}</span>}
      </div>
      <div className="jp-LambdaFunction-line jp-LambdaFunction-facts">
        <Sparkline counts={counts} errors={errors} />
        <span className="jp-LambdaFunction-runs">{runs}</span>
        {failed && <span className="jp-LambdaFunction-errors">{failed}</span>}
        {throttled && <span className="jp-LambdaFunction-errors">{throttled}</span>}
      </div>
    </li>
  );
}

function IconButton(props: { icon: LabIcon; label: string; onClick: () => void }): JSX.Element {
  return (
    <button className="jp-LambdaPanel-iconButton" title={props.label} aria-label={props.label} onClick={props.onClick}>
      <props.icon.react tag="span" />
    </button>
  );
}

function ScheduleRow(props: { schedule: ISchedule; now: number; trans: TranslationBundle }): JSX.Element {
  const { schedule, now, trans } = props;
  const paused = schedule.state === 'DISABLED';
  const next = paused ? undefined : schedule.next_s[0];
  const name = schedule.trigger.replace(/^(schedule|rule):/, '');
  return (
    <li
      className="jp-LambdaSchedule"
      data-state={paused ? 'paused' : 'active'}
      tabIndex={0}
      title={schedule.expression}
    >
      <div className="jp-LambdaFunction-line">
        <span className="jp-LambdaFunction-name">{schedule.function ?? name}</span>
        <span className="jp-LambdaSchedule-next">
          {paused ? trans.__('paused') : next === undefined ? trans.__('over') : until(next, now, trans)}
        </span>
      </div>
      <div className="jp-LambdaFunction-line jp-LambdaFunction-facts">
        <span className="jp-LambdaSchedule-words">{schedule.words ?? schedule.expression}</span>
        {next !== undefined && <span>{clock(next, now)}</span>}
      </div>
    </li>
  );
}

function onKey(event: React.KeyboardEvent<HTMLElement>, name: string, commands: CommandRegistry): void {
  if (event.target !== event.currentTarget) {
    return;
  }
  const command = { Enter: CommandIDs.invoke, Delete: CommandIDs.remove }[event.key];
  if (command) {
    event.preventDefault();
    void commands.execute(command, { function: name });
  }
}

/** Arrow keys, Home and End go from row to row. */
function moveFocus(event: React.KeyboardEvent<HTMLUListElement>): void {
  const rows = [...event.currentTarget.querySelectorAll<HTMLElement>('li')];
  const at = rows.indexOf(document.activeElement as HTMLElement);
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1 }[event.key];
  if (at >= 0 && to !== undefined && rows[to]) {
    event.preventDefault();
    rows[to].focus();
  }
}
