import { StackedPanel, Widget } from '@lumino/widgets';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { ServicesModel } from '../src/model';
import { PanelWidget } from '../src/panel/PanelWidget';
import { FakeApi } from './doubles';

let api: FakeApi;
let model: ServicesModel;
let panel: PanelWidget;

beforeEach(() => {
  vi.useFakeTimers();
  api = new FakeApi();
  model = new ServicesModel(api);
  panel = new PanelWidget(model);
});

afterEach(() => {
  panel.dispose();
  vi.restoreAllMocks();
  vi.useRealTimers();
});

/** Put the browser's tab in the background, or bring it back. */
function tab(hidden: boolean): void {
  vi.spyOn(document, 'hidden', 'get').mockReturnValue(hidden);
  document.dispatchEvent(new Event('visibilitychange'));
}

async function asksIn(seconds: number): Promise<number> {
  const before = api.asked.status;
  await vi.advanceTimersByTimeAsync(seconds * 1000);
  return api.asked.status - before;
}

describe('the panel asks', () => {
  it('nothing before it is in the page', async () => {
    expect(await asksIn(60)).toBe(0);
  });

  it('while it is in the page', async () => {
    Widget.attach(panel, document.body);
    expect(await asksIn(11)).toBe(3);
  });

  it('nothing while another panel covers it', async () => {
    Widget.attach(panel, document.body);
    panel.hide();
    expect(await asksIn(60)).toBe(0);
    panel.show();
    expect(await asksIn(1)).toBe(1);
  });

  it('nothing while its side bar is closed', async () => {
    const bar = new StackedPanel();
    bar.addWidget(panel);
    Widget.attach(bar, document.body);
    expect(await asksIn(1)).toBe(1);
    bar.hide();
    expect(await asksIn(60)).toBe(0);
    bar.show();
    expect(await asksIn(1)).toBe(1);
    bar.dispose();
  });

  it('nothing while the browser shows another tab', async () => {
    Widget.attach(panel, document.body);
    await asksIn(1);
    tab(true);
    expect(await asksIn(60)).toBe(0);
    tab(false);
    expect(await asksIn(1)).toBe(1);
  });

  it('nothing once it is gone', async () => {
    Widget.attach(panel, document.body);
    panel.dispose();
    tab(false);
    expect(await asksIn(60)).toBe(0);
  });
});
