import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { ServicesModel } from '../src/model';
import { entry, FakeApi, model as card, report, TRAFFIC } from './doubles';

let api: FakeApi;
let model: ServicesModel;

beforeEach(() => {
  vi.useFakeTimers();
  api = new FakeApi();
  model = new ServicesModel(api);
});

afterEach(() => {
  model.dispose();
  vi.restoreAllMocks();
  vi.useRealTimers();
});

/** Let `seconds` pass, with everything that is due in them. */
const pass = (seconds: number) => vi.advanceTimersByTimeAsync(seconds * 1000);

describe('looking', () => {
  it('asks nothing before it is visible', async () => {
    model.refresh();
    await pass(600);
    expect(api.asked).toEqual({ status: 0, timeline: 0 });
  });

  it('asks at once when it becomes visible, then at the interval', async () => {
    model.visible = true;
    await pass(0.1);
    expect(api.asked).toEqual({ status: 1, timeline: 1 });
    await pass(15);
    expect(api.asked.status).toBe(4);
  });

  it('asks nothing more once it is hidden, and again when it is shown', async () => {
    model.visible = true;
    await pass(0.1);
    model.visible = false;
    model.refresh();
    await pass(600);
    expect(api.asked.status).toBe(1);
    model.visible = true;
    await pass(0.1);
    expect(api.asked.status).toBe(2);
  });

  it('follows the configured interval and length', async () => {
    api.entries = [1, 2, 3].map(id => entry({ id }));
    model.visible = true;
    model.configure(20, 2);
    await pass(0.1);
    const before = api.asked.status;
    await pass(19);
    expect(api.asked.status).toBe(before);
    await pass(2);
    expect(api.asked.status).toBe(before + 1);
    expect(model.entries.map(({ id }) => id)).toEqual([3, 2]);
  });

  it('shows the state and tells listeners', async () => {
    const heard = vi.fn();
    model.changed.connect(heard);
    api.report = report({ models: [card()] });
    model.visible = true;
    await pass(0.1);
    expect(model.status?.models[0].live).toBe(2);
    expect(heard).toHaveBeenCalled();
  });

  it('drops an answer that a later question has overtaken', async () => {
    const answers: ((live: number) => void)[] = [];
    api.status = () =>
      new Promise(resolve =>
        answers.push(live => resolve(report({ models: [card({ live })] })))
      );
    model.visible = true;
    await pass(0.1);
    model.refresh();
    await pass(0.1);
    answers[1](2);
    answers[0](1);
    await pass(0.1);
    expect(model.status?.models[0].live).toBe(2);
  });
});

describe('trouble', () => {
  it('says why, keeps the last state, and asks ever less often', async () => {
    // A pause is drawn between the usual one and three times the one before, at most a minute: here always the longest.
    vi.spyOn(Math, 'random').mockReturnValue(1 - Number.EPSILON);
    model.visible = true;
    await pass(0.1);
    api.trouble = new Error('the ledger is locked; try again');
    const ask = api.status.bind(api);
    const asked: number[] = [];
    api.status = () => {
      asked.push(Date.now());
      return ask();
    };
    await pass(5);
    expect(model.error).toBe('the ledger is locked; try again');
    expect(model.status).not.toBeNull();
    await pass(300);
    const pauses = asked.slice(1).map((at, i) => (at - asked[i]) / 1000);
    expect(pauses).toEqual([15, 45, 60, 60, 60, 60]);
  });

  it('is over as soon as an answer comes, and the pace is back', async () => {
    api.trouble = new Error('gone');
    model.visible = true;
    await pass(300);
    api.trouble = null;
    model.refresh();
    await pass(0.1);
    expect(model.error).toBeNull();
    const before = api.asked.status;
    await pass(15);
    expect(api.asked.status).toBe(before + 3);
  });
});

describe('changing', () => {
  it('says what is being done, then asks for the new state', async () => {
    model.visible = true;
    await pass(0.1);
    const done = model.up();
    expect(model.doing).toBe('up');
    await done;
    await pass(0.1);
    expect(model.doing).toBeNull();
    expect(api.changes).toEqual(['up']);
    expect(api.asked.status).toBe(2);
  });

  it('passes on model and reason of a rollback', async () => {
    await model.rollback('cancer', 'worse');
    expect(api.changes).toEqual([{ model: 'cancer', why: 'worse' }]);
  });

  it('keeps a refusal until the next change', async () => {
    api.trouble = new Error('someone else wrote first; look again');
    await model.rollback('cancer', '');
    expect(model.refusal).toBe('someone else wrote first; look again');
    api.trouble = null;
    await model.up();
    expect(model.refusal).toBeNull();
  });
});

describe('samples', () => {
  it('are gathered per model while visible, and forgotten with the model', async () => {
    const traffic = { ...TRAFFIC, requests_per_second: 7 };
    api.report = report({ models: [card({ traffic }), card({ name: 'b' })] });
    model.visible = true;
    await pass(10.1);
    expect(model.samples('cancer').map(({ value }) => value)).toEqual([
      7, 7, 7
    ]);
    api.report = report({ models: [card({ name: 'b', traffic: null })] });
    await pass(5);
    expect(model.samples('cancer')).toEqual([]);
    expect(model.samples('b').at(-1)?.value).toBe(0);
  });

  it('older than ten minutes are let go', async () => {
    api.report = report({ models: [card()] });
    model.visible = true;
    await pass(3600);
    expect(model.samples('cancer').length).toBeLessThanOrEqual(121);
  });
});
