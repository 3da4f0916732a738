import { describe, expect, it } from 'vitest';

import {
  address,
  ago,
  count,
  latency,
  plural,
  polyline,
  rate,
  share
} from '../src/format';

describe('format', () => {
  it.each([
    [0, '0'],
    [999, '999'],
    [1000, '1.0k'],
    [12_345, '12.3k'],
    [99_960, '100k'],
    [999_499, '999k'],
    [999_500, '1.0M'],
    [3_400_000, '3.4M']
  ])('counts %d as %s', (value, text) => {
    expect(count(value)).toBe(text);
  });

  it.each([
    [0, '0/s'],
    [0.01, '<0.1/s'],
    [0.2, '0.2/s'],
    [12.44, '12.4/s'],
    [99.99, '100/s'],
    [100, '100/s'],
    [21_900, '21.9k/s']
  ])('writes a rate of %d as %s', (value, text) => {
    expect(rate(value)).toBe(text);
  });

  it.each([
    [null, '–'],
    [0.052, '0.05 ms'],
    [0.999, '1.0 ms'],
    [3.21, '3.2 ms'],
    [9.97, '10 ms'],
    [312.4, '312 ms'],
    [1500, '1.5 s']
  ])('writes a latency of %s as %s', (value, text) => {
    expect(latency(value)).toBe(text);
  });

  it.each([
    [1, '100 %'],
    [0.25, '25 %'],
    [0.005, '0.5 %'],
    [0.05, '5 %'],
    [0.333, '33 %']
  ])('writes the share %d as %s', (value, text) => {
    expect(share(value)).toBe(text);
  });

  it.each([
    ['2026-01-01T12:00:00Z', 'just now'],
    ['2026-01-01T12:00:09Z', 'just now'], // the server's clock is ahead
    ['2026-01-01T11:59:20Z', '40 s ago'],
    ['2026-01-01T11:59:00Z', '1 min ago'],
    ['2026-01-01T09:30:00Z', '2 h ago'],
    ['2025-12-30T11:00:00Z', '2 d ago']
  ])('says how long ago %s was: %s', (at, text) => {
    expect(ago(at, new Date('2026-01-01T12:00:00Z'))).toBe(text);
  });

  it('uses the plural for everything but one', () => {
    expect([0, 1, 2].map(n => plural(n, 'row'))).toEqual([
      '0 rows',
      '1 row',
      '2 rows'
    ]);
  });

  it('shows an address without scheme and trailing slash', () => {
    expect(address('http://127.0.0.1:8571/')).toBe('127.0.0.1:8571');
  });
});

describe('polyline', () => {
  it('is nothing until there are two samples', () => {
    expect(polyline([], 100, 20)).toBe('');
    expect(polyline([{ at: 1, value: 2 }], 100, 20)).toBe('');
  });

  it('places samples by time and touches the top with the highest', () => {
    const samples = [
      { at: 0, value: 0 },
      { at: 1, value: 4 },
      { at: 4, value: 2 }
    ];
    expect(polyline(samples, 100, 20)).toBe('0.0,20.0 25.0,0.0 100.0,10.0');
  });

  it('lies on the ground when nothing happened', () => {
    const silent = [
      { at: 0, value: 0 },
      { at: 9, value: 0 }
    ];
    expect(polyline(silent, 100, 20)).toBe('0.0,20.0 100.0,20.0');
  });
});
