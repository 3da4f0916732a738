import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import type { Rollback, StatusReport, TimelineRecord } from './wire';

/** What the panel may ask of the server; a test hands the model another one. */
export interface Api {
  status(): Promise<StatusReport>;
  timeline(limit: number): Promise<TimelineRecord>;
  up(): Promise<unknown>;
  rollback(request: Rollback): Promise<unknown>;
}

/** The server refused, or could not be reached; the message is one line for a person. */
export class ApiError extends Error {
  constructor(
    message: string,
    readonly status?: number
  ) {
    super(message);
    this.name = 'ApiError';
  }
}

/** The routes of the server extension, below whatever base URL the server has. */
export function serverApi(settings: ServerConnection.ISettings): Api {
  return {
    status: () => requestAPI(settings, 'status'),
    timeline: limit => requestAPI(settings, `timeline?limit=${limit}`),
    up: () => requestAPI(settings, 'up', { method: 'POST', body: '{}' }),
    rollback: request =>
      requestAPI(settings, 'rollback', {
        method: 'POST',
        body: JSON.stringify(request)
      })
  };
}

/** Call one route; authentication and XSRF are those of the server connection. */
export async function requestAPI<T>(
  settings: ServerConnection.ISettings,
  path: string,
  init: RequestInit = {}
): Promise<T> {
  const url = URLExt.join(settings.baseUrl, 'prodml/api') + '/' + path;
  let response: Response;
  try {
    response = await ServerConnection.makeRequest(url, init, settings);
  } catch {
    throw new ApiError(
      'The Jupyter server does not answer; it is tried again by itself.'
    );
  }
  const body = await read(response);
  if (!response.ok) {
    throw new ApiError(explain(response, body), response.status);
  }
  return body as T;
}

async function read(response: Response): Promise<unknown> {
  try {
    return await response.json();
  } catch {
    return null;
  }
}

function explain(response: Response, body: unknown): string {
  const told = (body as { error?: unknown } | null)?.error;
  if (typeof told === 'string') {
    return told;
  }
  if (response.status === 404) {
    return (
      'The server side of this panel is not loaded; run ' +
      '`jupyter server extension enable prodml_magics.lab` and restart JupyterLab.'
    );
  }
  return `The Jupyter server answered ${response.status} ${response.statusText}.`;
}
