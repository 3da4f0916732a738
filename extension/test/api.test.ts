import { ServerConnection } from '@jupyterlab/services';
import { describe, expect, it } from 'vitest';

import { ApiError, serverApi } from '../src/api';

/** A server behind a hub's prefix that answers every request with `answer`, and notes what it was asked. */
function server(answer: () => Response | Promise<Response>) {
  const asked: Request[] = [];
  const settings = ServerConnection.makeSettings({
    baseUrl: 'http://localhost:8888/user/a%40b/',
    token: 'secret',
    fetch: async (input, init) => {
      asked.push(new Request(input, init));
      return answer();
    }
  });
  return { api: serverApi(settings), asked };
}

const json = (body: unknown, status = 200) =>
  new Response(JSON.stringify(body), { status, statusText: 'Told' });

describe('requestAPI', () => {
  it('stays below the base URL of the server and is authenticated', async () => {
    const { api, asked } = server(() => json({ entries: [] }));
    await api.timeline(7);
    expect(asked[0].url).toMatch(
      /^http:\/\/localhost:8888\/user\/a%40b\/prodml\/api\/timeline\?limit=7/
    );
    expect(asked[0].headers.get('Authorization')).toBe('token secret');
  });

  it('sends a change as JSON', async () => {
    const { api, asked } = server(() => json({}));
    await api.rollback({ model: 'cancer', why: 'worse' });
    expect(asked[0].method).toBe('POST');
    expect(await asked[0].json()).toEqual({ model: 'cancer', why: 'worse' });
  });

  it('keeps the message and status of a refusal', async () => {
    const { api } = server(() => json({ error: 'no such model' }, 404));
    await expect(api.status()).rejects.toEqual(
      new ApiError('no such model', 404)
    );
  });

  it.each([
    ['says how to load the server side', 404, /server extension enable/],
    ['tells of a proxy that answers instead', 502, /answered 502 Told/]
  ])('%s', async (_, status, message) => {
    const { api } = server(
      () => new Response('<html>', { status, statusText: 'Told' })
    );
    await expect(api.status()).rejects.toThrow(message);
  });

  it('says so when the server does not answer', async () => {
    const { api } = server(() => Promise.reject(new TypeError('failed')));
    await expect(api.status()).rejects.toThrow(/does not answer/);
  });
});
