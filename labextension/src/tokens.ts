import { Token } from '@lumino/coreutils';
import { ISignal } from '@lumino/signaling';

import { State } from './state';

/** A schedule or scheduled rule, as the engine tells of it. */
export interface ISchedule {
  trigger: string;
  function: string | null;
  expression: string;
  timezone: string;
  words: string | null;
  state: string;
  due_s: number | null;
  next_s: number[];
  last_result: string | null;
}

/** What came of an invocation that somebody asked for here. */
export interface IAnswer {
  ok: boolean;
  payload: string;
}

/** The engine and its functions, live. */
export interface ILambdaModel {
  readonly state: State;
  readonly schedules: readonly ISchedule[];
  /** Why there is no list, if there is none; for people. */
  readonly problem: string;
  /** Emitted at most once for each frame. */
  readonly changed: ISignal<ILambdaModel, void>;
  startEngine(): Promise<void>;
  invoke(name: string, event: string): Promise<IAnswer>;
  /** Stop what runs of a function; how many that were. */
  stopRunning(name: string): Promise<number>;
  remove(name: string): Promise<void>;
}

export const ILambdaModel = new Token<ILambdaModel>(
  'jupyter-lambda:ILambdaModel',
  'The functions of this server, what they do, and the engine that runs them.'
);
