import type { IDisposable } from '@lumino/disposable';
import { Poll } from '@lumino/polling';
import { type ISignal, Signal } from '@lumino/signaling';

import type { Api } from './api';
import type { StatusReport, TimelineEntry } from './wire';

/** Requests per second of one model at one moment (milliseconds since 1970). */
export interface Sample {
  at: number;
  value: number;
}

/** For how long samples are kept for the sparklines, in milliseconds. */
const HISTORY = 10 * 60 * 1000;

/** The longest pause between two tries while the server does not answer, in milliseconds. */
const LONGEST_PAUSE = 60 * 1000;

/** What the panel knows of the services, and the changes that it may ask for. */
export class ServicesModel implements IDisposable {
  constructor(private readonly api: Api) {
    this._poll = new Poll({
      name: 'prodml:services',
      auto: false,
      factory: () => this._load(),
      frequency: { interval: 5000, backoff: true, max: LONGEST_PAUSE },
      standby: 'never'
    });
  }

  /** Emitted whenever anything that the panel shows has changed. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** The latest report, or null until the first has come. */
  get status(): StatusReport | null {
    return this._status;
  }

  /** The latest entries of the ledger, the newest first. */
  get entries(): readonly TimelineEntry[] {
    return this._entries;
  }

  /** Why the state could not be had, or null when it could. */
  get error(): string | null {
    return this._error;
  }

  /** Why the last change that was asked for was refused, until the next one. */
  get refusal(): string | null {
    return this._refusal;
  }

  /** What is being done at the moment: `up`, or `rollback NAME`. */
  get doing(): string | null {
    return this._doing;
  }

  /** Requests per second of `model`, gathered while the panel was visible. */
  samples(model: string): readonly Sample[] {
    return this._samples.get(model) ?? [];
  }

  /** Whether someone looks; nothing is asked for while nobody does. */
  get visible(): boolean {
    return this._visible;
  }

  set visible(value: boolean) {
    if (value === this._visible || this.isDisposed) {
      return;
    }
    this._visible = value;
    void (value ? this._ask() : this._poll.stop());
  }

  /** How often to look, in seconds, and how many entries of the ledger to list. */
  configure(seconds: number, timelineLength: number): void {
    this._poll.frequency = {
      ...this._poll.frequency,
      interval: seconds * 1000
    };
    this._timelineLength = timelineLength;
    this.refresh();
  }

  /** Ask again now, if someone looks. */
  refresh(): void {
    if (this._visible) {
      void this._ask();
    }
  }

  /** Start gateway and controller. */
  async up(): Promise<void> {
    await this._do('up', () => this.api.up());
  }

  /** Put all traffic of `model` back on its previous version. */
  async rollback(model: string, why: string): Promise<void> {
    await this._do(`rollback ${model}`, () =>
      this.api.rollback({ model, why })
    );
  }

  get isDisposed(): boolean {
    return this._poll.isDisposed;
  }

  dispose(): void {
    this._visible = false;
    this._poll.dispose();
    Signal.clearData(this);
  }

  /** Tick now even when an answer is awaited: that one may predate the change. `Poll.refresh` would not. */
  private _ask(): Promise<void> {
    return this._poll.schedule({
      interval: Poll.IMMEDIATE,
      phase: 'refreshed'
    });
  }

  private async _do(what: string, call: () => Promise<unknown>): Promise<void> {
    this._doing = what;
    this._refusal = null;
    this._changed.emit();
    try {
      await call();
    } catch (error) {
      this._refusal = message(error);
    }
    this._doing = null;
    this._changed.emit();
    this.refresh();
  }

  /** Fetch everything; an answer to an older question than the last one is dropped. */
  private async _load(): Promise<void> {
    const turn = ++this._turn;
    try {
      const [status, timeline] = await Promise.all([
        this.api.status(),
        this.api.timeline(this._timelineLength)
      ]);
      if (turn === this._turn) {
        this._take(status, timeline.entries);
      }
    } catch (error) {
      if (turn === this._turn) {
        this._error = message(error);
        this._changed.emit();
      }
      throw error; // the poll backs off
    }
  }

  private _take(status: StatusReport, entries: TimelineEntry[]): void {
    this._status = status;
    this._entries = [...entries].sort((a, b) => b.id - a.id);
    this._error = null;
    this._sample(status, Date.now());
    this._changed.emit();
  }

  private _sample(status: StatusReport, now: number): void {
    const fresh = new Map<string, Sample[]>();
    for (const { name, traffic } of status.models) {
      const kept = this.samples(name).filter(({ at }) => now - at < HISTORY);
      const value = traffic?.requests_per_second ?? 0;
      fresh.set(name, [...kept, { at: now, value }]);
    }
    this._samples = fresh;
  }

  private readonly _poll: Poll<void>;
  private readonly _changed = new Signal<this, void>(this);
  private _status: StatusReport | null = null;
  private _entries: readonly TimelineEntry[] = [];
  private _samples = new Map<string, Sample[]>();
  private _error: string | null = null;
  private _refusal: string | null = null;
  private _doing: string | null = null;
  private _visible = false;
  private _timelineLength = 20;
  private _turn = 0;
}

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
