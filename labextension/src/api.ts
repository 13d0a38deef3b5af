/** All that is said to the server. Nothing else of the extension fetches or opens sockets. */

import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import { IListed, IMessage, IRecord } from './state';
import { IAnswer, ISchedule } from './tokens';

/** Seconds before a lost connection is tried again, doubled each time, and the longest. */
const RETRY_S = 0.5;
const RETRY_MAX_S = 10;
/** Pages of functions that are listed, of 50 each. */
const PAGES_MAX = 20;

export class Api {
  constructor(private readonly _settings: ServerConnection.ISettings) {}

  async functions(): Promise<IListed[]> {
    const found: IListed[] = [];
    let marker = '';
    for (let page = 0; page < PAGES_MAX; page++) {
      const query = marker ? `?Marker=${encodeURIComponent(marker)}` : '';
      const answer = await this._json<{ Functions: IListed[]; NextMarker?: string }>(
        'GET',
        `engine/2015-03-31/functions${query}`
      );
      found.push(...answer.Functions);
      marker = answer.NextMarker ?? '';
      if (!marker) {
        break;
      }
    }
    return found;
  }

  async schedules(): Promise<ISchedule[]> {
    return (await this._json<{ schedules: ISchedule[] }>('GET', 'engine/_jupyter_lambda/schedules')).schedules;
  }

  async recent(sinceS: number): Promise<IRecord[]> {
    const path = `engine/_jupyter_lambda/invocations?since=${sinceS.toFixed(3)}&limit=2000`;
    return (await this._json<{ invocations: IRecord[] }>('GET', path)).invocations;
  }

  async startEngine(): Promise<void> {
    await this._json('POST', 'api/engine', '{}');
  }

  async invoke(name: string, event: string): Promise<IAnswer> {
    const path = `engine/2015-03-31/functions/${encodeURIComponent(name)}/invocations`;
    const response = await this._request('POST', path, event);
    const payload = await response.text();
    return { ok: !response.headers.get('X-Amz-Function-Error'), payload };
  }

  /** Ids of what runs of a function now. */
  async running(name: string): Promise<string[]> {
    const path = `engine/_jupyter_lambda/invocations?function=${encodeURIComponent(name)}&limit=1`;
    const answer = await this._json<{ running: { request_id: string; function_name: string }[] }>('GET', path);
    return answer.running.filter(one => one.function_name === name).map(one => one.request_id);
  }

  async stop(requestId: string): Promise<boolean> {
    const path = `engine/_jupyter_lambda/invocations/${encodeURIComponent(requestId)}`;
    return (await this._json<{ stopped: boolean }>('DELETE', path)).stopped;
  }

  async remove(name: string): Promise<void> {
    await this._request('DELETE', `engine/2015-03-31/functions/${encodeURIComponent(name)}`);
  }

  /**
   * Listen to the server's messages, for as long as the page lives.
   *
   * @param after Where a connection goes on: number and engine of the last batch.
   * @param heard Told of each message, and of null when the connection is lost.
   */
  listen(after: () => [number | null, string | null], heard: (message: IMessage | null) => void): void {
    const { wsUrl, token, appendToken, WebSocket } = this._settings;
    let retryS = RETRY_S;
    const open = (): void => {
      const query = new URLSearchParams();
      const [seq, epoch] = after();
      if (seq !== null && epoch !== null) {
        query.set('after', String(seq));
        query.set('epoch', epoch);
      }
      if (appendToken && token) {
        query.set('token', token);
      }
      const socket = new WebSocket(`${URLExt.join(wsUrl, 'lambda/api/live')}?${query.toString()}`);
      socket.onmessage = (message: MessageEvent) => {
        retryS = RETRY_S;
        heard(JSON.parse(message.data as string) as IMessage);
      };
      socket.onclose = () => {
        heard(null);
        setTimeout(open, retryS * 1000);
        retryS = Math.min(retryS * 2, RETRY_MAX_S);
      };
    };
    open();
  }

  private async _json<T>(method: string, path: string, body?: string): Promise<T> {
    return (await (await this._request(method, path, body)).json()) as T;
  }

  private async _request(method: string, path: string, body?: string): Promise<Response> {
    const url = URLExt.join(this._settings.baseUrl, 'lambda', path);
    const init: RequestInit = { method, body: body ?? null, headers: { 'Content-Type': 'application/json' } };
    const response = await ServerConnection.makeRequest(url, init, this._settings);
    if (!response.ok) {
      let said = `HTTP ${response.status}`;
      try {
        const document = (await response.json()) as { message?: string; Message?: string };
        said = document.message ?? document.Message ?? said;
      } catch {
        said = `${said} ${response.statusText}`;
      }
      throw new Error(said);
    }
    return response;
  }
}
