import { ISignal, Signal } from '@lumino/signaling';

import { Api } from './api';
import { BAR_S, BARS, IMessage, State } from './state';
import { IAnswer, ILambdaModel, ISchedule } from './tokens';

/** Milliseconds for which changes of functions or schedules are collected before they are asked for. */
const SETTLE_MS = 150;

/** Keeps the state by the server's messages, asks for what they only hint at, and tells at most once a frame. */
export class LambdaModel implements ILambdaModel {
  readonly state = new State();
  schedules: readonly ISchedule[] = [];
  problem = '';

  constructor(private readonly _api: Api) {
    this._api.listen(
      () => [this.state.seq, this.state.epoch],
      message => this._heard(message)
    );
  }

  get changed(): ISignal<ILambdaModel, void> {
    return this._changed;
  }

  async startEngine(): Promise<void> {
    await this._api.startEngine();
  }

  invoke(name: string, event: string): Promise<IAnswer> {
    return this._api.invoke(name, event);
  }

  async stopRunning(name: string): Promise<number> {
    const stopped = await Promise.all((await this._api.running(name)).map(id => this._api.stop(id)));
    return stopped.filter(Boolean).length;
  }

  remove(name: string): Promise<void> {
    return this._api.remove(name);
  }

  private _heard(message: IMessage | null): void {
    if (message === null) {
      this._tell();
      return;
    }
    const news = this.state.take(message, Date.now() / 1000);
    if (news.functions && news.snapshotS === null) {
      this._soon('functions', () => this._list());
    }
    if (news.schedules) {
      this._soon('schedules', async () => {
        this.schedules = await this._api.schedules();
      });
    }
    if (news.snapshotS !== null) {
      void this._fill(news.snapshotS);
    }
    this._tell();
  }

  private async _list(): Promise<void> {
    this.state.list(await this._api.functions());
  }

  private async _fill(endS: number): Promise<void> {
    try {
      await this._list();
      this.state.fill(await this._api.recent(endS - BAR_S * BARS), endS);
      this._tell();
    } catch (error) {
      this._failed(error);
    }
  }

  /** Ask once for what several changes have hinted at. */
  private _soon(what: string, ask: () => Promise<void>): void {
    if (this._waiting.has(what)) {
      return;
    }
    this._waiting.add(what);
    setTimeout(() => {
      this._waiting.delete(what);
      ask().then(
        () => {
          this.problem = '';
          this._tell();
        },
        error => this._failed(error)
      );
    }, SETTLE_MS);
  }

  private _failed(error: unknown): void {
    this.problem = error instanceof Error ? error.message : String(error);
    this._tell();
  }

  private _tell(): void {
    if (!this._frame) {
      // Not in a frame's callback alone: a page in the background has no frames.
      this._frame = setTimeout(() => {
        this._frame = undefined;
        this._changed.emit();
      }, 16);
    }
  }

  private readonly _changed = new Signal<ILambdaModel, void>(this);
  private readonly _waiting = new Set<string>();
  private _frame: ReturnType<typeof setTimeout> | undefined;
}
