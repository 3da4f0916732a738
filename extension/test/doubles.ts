import type { Api } from '../src/api';
import type {
  ModelStatus,
  Rollback,
  StatusReport,
  TimelineEntry,
  Traffic
} from '../src/wire';

export const TRAFFIC: Traffic = {
  requests: 10234,
  rows: 12876,
  errors: 0,
  requests_per_second: 12.4,
  refused_per_second: 0,
  p50_ms: 0.84,
  p99_ms: 3.2,
  shadow_rows: 0,
  shadow_dropped: 0,
  shadow_errors: 0,
  sampled_out: 0,
  unlogged: 0
};

export function model(change: Partial<ModelStatus> = {}): ModelStatus {
  return {
    name: 'cancer',
    live: 2,
    previous: 1,
    canary: null,
    canary_share: null,
    rollout: null,
    shadows: [],
    revision: 3,
    url: 'http://127.0.0.1:8571/v2/models/cancer',
    versions: [1, 2],
    updated_at: '2026-01-01T00:00:00Z',
    traffic: TRAFFIC,
    problem: null,
    device: null,
    ...change
  };
}

export function report(change: Partial<StatusReport> = {}): StatusReport {
  return {
    home: '/home/ana/churn/.prodml',
    gateway: {
      state: 'up',
      url: 'http://127.0.0.1:8571',
      grpc: null,
      pids: [4711, 4712],
      started_at: '2026-01-01T00:00:00Z'
    },
    controller: { state: 'up', pid: 4713, drained_at: null },
    models: [],
    ...change
  };
}

export const DOWN: Partial<StatusReport> = {
  gateway: { state: 'down', url: null, grpc: null, pids: [], started_at: null },
  controller: { state: 'down', pid: null, drained_at: null }
};

export function entry(change: Partial<TimelineEntry> = {}): TimelineEntry {
  return {
    id: 1,
    at: '2026-01-01T00:00:00Z',
    actor: 'ana',
    model: 'cancer',
    kind: 'deploy',
    summary: 'version 2 live, version 1 kept as previous',
    live: 2,
    cause: '',
    cell: '',
    source: '',
    evidence: '',
    canary: null,
    share: null,
    tier: null,
    can_undo: true,
    ...change
  };
}

/** A server that counts what it is asked, and answers or refuses as it is told. */
export class FakeApi implements Api {
  report = report();
  /** Oldest first, as the ledger has them. */
  entries: TimelineEntry[] = [];
  trouble: Error | null = null;
  asked = { status: 0, timeline: 0 };
  changes: (Rollback | 'up')[] = [];

  async status(): Promise<StatusReport> {
    this.asked.status += 1;
    return this._answer(this.report);
  }

  async timeline(limit: number): Promise<{ entries: TimelineEntry[] }> {
    this.asked.timeline += 1;
    return this._answer({ entries: this.entries.slice(-limit) });
  }

  async up(): Promise<unknown> {
    this.changes.push('up');
    return this._answer({});
  }

  async rollback(request: Rollback): Promise<unknown> {
    this.changes.push(request);
    return this._answer({});
  }

  private _answer<T>(value: T): T {
    if (this.trouble) {
      throw this.trouble;
    }
    return value;
  }
}
