import { act } from 'react';
import { createRoot, type Root } from 'react-dom/client';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { ServicesModel } from '../src/model';
import { Panel } from '../src/panel/Panel';
import type { ModelStatus } from '../src/wire';
import {
  DOWN,
  entry,
  FakeApi,
  model as card,
  report,
  TRAFFIC
} from './doubles';

let api: FakeApi;
let services: ServicesModel;
let root: Root;
let host: HTMLElement;
let confirm: (model: ModelStatus) => Promise<string | null>;

beforeEach(() => {
  api = new FakeApi();
  services = new ServicesModel(api);
  host = document.createElement('div');
  root = createRoot(host);
  confirm = async () => 'worse';
});

afterEach(() => {
  act(() => root.unmount());
  services.dispose();
});

async function show(): Promise<void> {
  services.visible = true;
  await vi.waitFor(() =>
    expect(services.status ?? services.error).not.toBeNull()
  );
  draw();
}

function draw(): void {
  act(() => root.render(<Panel model={services} confirmRollback={confirm} />));
}

function button(name: RegExp): HTMLButtonElement | undefined {
  return [...host.querySelectorAll('button')].find(found =>
    name.test(found.getAttribute('aria-label') ?? found.textContent ?? '')
  );
}

describe('the panel', () => {
  it('waits without a word of trouble until the first answer', () => {
    draw();
    expect(host.textContent).toContain('Asking the services');
    expect(host.querySelector('[role=alert]')).toBeNull();
  });

  it('tells a newcomer how to begin', async () => {
    await show();
    expect(host.textContent).toContain('%register');
    expect(host.textContent).toContain('%deploy');
  });

  it('offers to start services that are down, and starts them', async () => {
    api.report = report(DOWN);
    await show();
    expect(host.textContent).toContain('%prodml up');
    act(() => button(/Start services/)?.click());
    await vi.waitFor(() => expect(api.changes).toEqual(['up']));
  });

  it('offers no start when everything is up', async () => {
    await show();
    expect(button(/Start services/)).toBeUndefined();
    expect(host.textContent).toContain('127.0.0.1:8571');
    expect(host.textContent).toContain('pids 4711 4712');
  });

  it('shows who answers, who shadows, and who was before', async () => {
    const shadows = [{ version: 3, sample: 0.25, plan: null }];
    api.report = report({ models: [card({ shadows })] });
    await show();
    expect(host.textContent).toContain('v2 live');
    expect(host.textContent).toContain('v3 shadow 25 %');
    expect(host.textContent).toContain('v1 previous');
    expect(host.textContent).toContain('12.4/s');
  });

  it('has no traffic to show while the gateway is down', async () => {
    api.report = report({ ...DOWN, models: [card({ traffic: null })] });
    await show();
    expect(host.querySelector('.prodml-Sparkline')).toBeNull();
    expect(host.textContent).toContain('v2 live');
  });

  it('shows a problem as an alert', async () => {
    const problem = 'version 2 could not be loaded: sha256 differs';
    api.report = report({ models: [card({ problem })] });
    await show();
    expect(host.querySelector('li [role=alert]')?.textContent).toBe(problem);
  });

  it('rolls back with the reason, once confirmed', async () => {
    api.report = report({ models: [card()] });
    await show();
    act(() => button(/Roll back cancer to version 1/)?.click());
    await vi.waitFor(() =>
      expect(api.changes).toEqual([{ model: 'cancer', why: 'worse' }])
    );
  });

  it('does not roll back when the person thinks better of it', async () => {
    const asked = vi.fn(async () => null);
    confirm = asked;
    api.report = report({ models: [card()] });
    await show();
    await act(async () => button(/Roll back/)?.click());
    expect(asked).toHaveBeenCalledOnce();
    expect(api.changes).toEqual([]);
  });

  it('offers no rollback without a previous version', async () => {
    api.report = report({ models: [card({ previous: null })] });
    await show();
    expect(button(/Roll back/)).toBeUndefined();
  });

  it('says how many requests a second are refused, and nothing while none is', async () => {
    const traffic = { ...TRAFFIC, refused_per_second: 98.4 };
    api.report = report({ models: [card({ traffic })] });
    await show();
    expect(host.textContent).toContain('98.4/s refused with 503, unanswered');
    api.report = report({ models: [card()] });
    services.refresh();
    await vi.waitFor(() => {
      draw();
      expect(host.textContent).not.toContain('refused with 503');
    });
  });

  it('lists the ledger with who and why', async () => {
    api.entries = [entry({ kind: 'rollback', cause: 'p99 doubled' })];
    await show();
    const timeline = host.querySelector('ol.prodml-Timeline');
    expect(timeline?.textContent).toMatch(/rollback.*cancer.*ana.*p99 doubled/);
  });

  it('keeps the last state below an error', async () => {
    api.report = report({ models: [card()] });
    await show();
    api.trouble = new Error('the ledger is locked; run `prodml doctor`');
    services.refresh();
    await vi.waitFor(() => expect(services.error).not.toBeNull());
    draw();
    expect(host.querySelector('[role=alert] code')?.textContent).toBe(
      'prodml doctor'
    );
    expect(host.textContent).toContain('v2 live');
  });
});
