/** What the panel shows, kept up to date by the server's messages. Pure: no JupyterLab, no clock of its own. */

/** Seconds that one bar of a sparkline stands for, and how many there are. */
export const BAR_S = 15;
export const BARS = 20;
/** Functions that are remembered, listed or heard of. */
const FUNCTIONS_MAX = 2000;

/** What the Jupyter server says of the engine's process. */
export interface IKeeper {
  state: 'stopped' | 'starting' | 'ready' | 'restarting' | 'failed' | 'elsewhere';
  message: string;
  driver: string | null;
  isolated: boolean | null;
}

/** What the engine says of itself. */
export interface IEngine {
  driver: string;
  isolated: boolean;
  region: string;
  draining: boolean;
}

export interface ITotals {
  invocations: number;
  errors: number;
  throttles: number;
  cold: number;
}

export interface ILiveEvent {
  kind: 'began' | 'ended' | 'throttled' | 'function' | 'environment' | 'schedules' | 'engine' | 'run';
  function?: string;
  status?: string;
  started_s?: number | null;
  received_s?: number;
  run_ms?: number;
  cold?: boolean;
  change?: 'created' | 'updated' | 'deleted';
  state?: string;
}

export interface ISums {
  began?: number;
  ended?: number;
  errors?: number;
  cold?: number;
  throttled?: number;
}

/** One message of the websocket. */
export interface IMessage {
  keeper?: IKeeper;
  seq?: number;
  epoch?: string;
  reset?: {
    at_s: number;
    engine: IEngine;
    running: Record<string, number>;
    totals: Record<string, ITotals>;
  };
  events?: ILiveEvent[];
  sums?: Record<string, ISums>;
  running?: Record<string, number>;
}

/** A record of the engine's ledger, as far as it is needed here. */
export interface IRecord {
  function_name: string;
  status: string;
  started_s: number | null;
  received_s: number;
  run_ms: number;
}

/** What must be asked for anew after a message. */
export interface INews {
  functions: boolean;
  schedules: boolean;
  /** The engine's own time of a new snapshot: what happened before it is only in the ledger. */
  snapshotS: number | null;
}

/** Invocations and errors of the last minutes; memory that doesn't grow. */
export class Bars {
  private _last = -1;
  private readonly _counts = new Array<number>(BARS).fill(0);
  private readonly _errors = new Array<number>(BARS).fill(0);

  add(timeS: number, invocations: number, errors: number): void {
    const bar = Math.floor(timeS / BAR_S);
    this._advance(bar);
    if (bar > this._last - BARS) {
      this._counts[bar % BARS] += invocations;
      this._errors[bar % BARS] += errors;
    }
  }

  /** The oldest first; the last one is not over yet. */
  at(nowS: number): { counts: number[]; errors: number[] } {
    this._advance(Math.floor(nowS / BAR_S));
    const order = Array.from({ length: BARS }, (_, i) => (this._last + 1 + i) % BARS);
    return { counts: order.map(i => this._counts[i]), errors: order.map(i => this._errors[i]) };
  }

  private _advance(bar: number): void {
    if (bar <= this._last) {
      return;
    }
    for (let i = Math.max(this._last + 1, bar - BARS + 1); i <= bar; i++) {
      this._counts[i % BARS] = this._errors[i % BARS] = 0;
    }
    this._last = bar;
  }
}

/** One function. */
export interface IRow extends ITotals {
  name: string;
  /** Whether the engine's list has it; false: it was only heard of. */
  listed: boolean;
  runtime: string;
  memoryMb: number;
  timeoutS: number;
  description: string;
  running: number;
  /** null: not known yet. */
  lastFailed: boolean | null;
  bars: Bars;
}

export interface IListed {
  FunctionName: string;
  Runtime?: string;
  MemorySize?: number;
  Timeout?: number;
  Description?: string;
}

/** All that is known; changed in place by ``take``, ``list`` and ``fill``. */
export class State {
  keeper: IKeeper | null = null;
  engine: IEngine | null = null;
  /** Of the last batch: where a new connection goes on. */
  seq: number | null = null;
  epoch: string | null = null;

  /** Whether an engine answers. */
  get ready(): boolean {
    return this.keeper?.state === 'ready' || this.keeper?.state === 'elsewhere';
  }

  /** Listed functions by name; with a search only those whose name or description has all its words. */
  rows(search = ''): IRow[] {
    const words = search.toLowerCase().split(/\s+/).filter(Boolean);
    return [...this._rows.values()]
      .filter(row => row.listed)
      .filter(row => words.every(word => `${row.name} ${row.description}`.toLowerCase().includes(word)))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  get running(): number {
    return [...this._rows.values()].reduce((sum, row) => sum + row.running, 0);
  }

  /** One message. */
  take(message: IMessage, nowS: number): INews {
    const news: INews = { functions: false, schedules: false, snapshotS: null };
    if (message.keeper) {
      this.keeper = message.keeper;
      if (!this.ready) {
        this._rows.forEach(row => (row.running = 0));
      }
    }
    if (message.seq !== undefined) {
      this.seq = message.seq;
      this.epoch = message.epoch ?? this.epoch;
    }
    if (message.reset) {
      this._reset(message.reset);
      news.functions = news.schedules = true;
      news.snapshotS = message.reset.at_s;
    }
    for (const event of message.events ?? []) {
      this._event(event, nowS, news);
    }
    for (const [name, sums] of Object.entries(message.sums ?? {})) {
      const row = this._row(name);
      this._count(row, sums.ended ?? 0, sums.errors ?? 0, sums.cold ?? 0, nowS);
      row.throttles += sums.throttled ?? 0;
      row.lastFailed = sums.ended ? (sums.errors ?? 0) === sums.ended : row.lastFailed;
    }
    for (const [name, running] of Object.entries(message.running ?? {})) {
      this._row(name).running = running;
    }
    return news;
  }

  /** The functions that there are. */
  list(functions: IListed[]): void {
    const there = new Set(functions.map(one => one.FunctionName));
    this._rows.forEach((_, name) => {
      if (!there.has(name)) {
        this._rows.delete(name);
      }
    });
    for (const one of functions) {
      Object.assign(this._row(one.FunctionName), {
        listed: true,
        runtime: one.Runtime ?? '',
        memoryMb: one.MemorySize ?? 0,
        timeoutS: one.Timeout ?? 0,
        description: one.Description ?? ''
      });
    }
  }

  /**
   * Sparklines, and how the last run went, of what ended before a snapshot; what ended later comes by messages.
   *
   * @param records The newest first, as the ledger has them.
   */
  fill(records: IRecord[], endS: number): void {
    for (const record of records) {
      const endedS = (record.started_s ?? record.received_s) + record.run_ms / 1000;
      if (endedS <= endS && this._rows.has(record.function_name)) {
        const row = this._row(record.function_name);
        const failed = record.status !== 'success';
        row.bars.add(endedS, 1, failed ? 1 : 0);
        row.lastFailed ??= failed;
      }
    }
  }

  private _reset(reset: NonNullable<IMessage['reset']>): void {
    this.engine = reset.engine;
    this._rows.forEach(row => {
      Object.assign(row, { invocations: 0, errors: 0, throttles: 0, cold: 0, running: 0, lastFailed: null });
      row.bars = new Bars();
    });
    for (const [name, totals] of Object.entries(reset.totals)) {
      Object.assign(this._row(name), totals);
    }
    for (const [name, running] of Object.entries(reset.running)) {
      this._row(name).running = running;
    }
  }

  private _event(event: ILiveEvent, nowS: number, news: INews): void {
    if (event.kind === 'schedules') {
      news.schedules = true;
    } else if (event.kind === 'engine' && this.engine) {
      this.engine = { ...this.engine, draining: event.state === 'draining' };
    } else if (event.kind === 'function') {
      news.functions = true;
    } else if (event.kind === 'throttled' && event.function) {
      this._row(event.function).throttles += 1;
    } else if (event.kind === 'ended' && event.function && event.status !== 'system') {
      const row = this._row(event.function);
      const failed = event.status !== 'success';
      this._count(row, 1, failed ? 1 : 0, event.cold ? 1 : 0, nowS);
      row.lastFailed = failed;
    }
  }

  private _count(row: IRow, invocations: number, errors: number, cold: number, nowS: number): void {
    row.invocations += invocations;
    row.errors += errors;
    row.cold += cold;
    row.bars.add(nowS, invocations, errors);
  }

  private _row(name: string): IRow {
    let row = this._rows.get(name);
    if (!row) {
      if (this._rows.size >= FUNCTIONS_MAX) {
        const unlisted = [...this._rows.values()].find(one => !one.listed) ?? this._rows.values().next().value;
        this._rows.delete(unlisted!.name);
      }
      row = {
        name,
        listed: false,
        runtime: '',
        memoryMb: 0,
        timeoutS: 0,
        description: '',
        running: 0,
        lastFailed: null,
        invocations: 0,
        errors: 0,
        throttles: 0,
        cold: 0,
        bars: new Bars()
      };
      this._rows.set(name, row);
    }
    return row;
  }

  private readonly _rows = new Map<string, IRow>();
}
