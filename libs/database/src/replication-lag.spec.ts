import { beforeEach, expect, it } from '@jest/globals';
import { ReplicationLag } from './replication-lag.js';

let lag: ReplicationLag;
beforeEach(() => {
  lag = new ReplicationLag();
});

it('is unknown until the replica has replayed a known position of the primary', () => {
  expect(lag.at(0)).toBe(Infinity);
  lag.addPrimary(100n, 1_000);
  lag.addReplica(99n);
  expect(lag.at(1_000)).toBe(Infinity);
  lag.addReplica(100n);
  expect(lag.at(1_000)).toBe(0);
});

it('is the time since the newest position that the replica has replayed', () => {
  for (const n of [0, 1, 2, 3]) lag.addPrimary(BigInt(100 * n), 1_000 * n);
  lag.addReplica(150n);
  expect(lag.at(3_000)).toBe(2_000);
  lag.addReplica(299n);
  expect(lag.at(3_000)).toBe(1_000);
  lag.addReplica(1_000n);
  expect(lag.at(3_000)).toBe(0);
});

it('does not grow while the primary writes nothing', () => {
  for (let atMs = 0; atMs <= 3_600_000; atMs += 1_000) {
    lag.addPrimary(100n, atMs);
    lag.addReplica(100n);
    expect(lag.at(atMs)).toBe(0);
  }
});

it('grows while nothing is measured, and while the replica replays nothing', () => {
  lag.addPrimary(100n, 0);
  lag.addReplica(100n);
  expect(lag.at(5_000)).toBe(5_000);
  for (let atMs = 1_000; atMs <= 300_000; atMs += 1_000) {
    lag.addPrimary(100n + BigInt(atMs), atMs);
    lag.addReplica(100n);
    expect(lag.at(atMs)).toBe(atMs);
  }
});

it('is unknown for a replica that was restored to a position before all known ones', () => {
  for (const n of [1, 2, 3]) {
    lag.addPrimary(BigInt(100 * n), 1_000 * n);
    lag.addReplica(BigInt(100 * n));
  }
  lag.addReplica(250n);
  expect(lag.at(3_000)).toBe(Infinity);
});

it('is unknown after ten minutes', () => {
  lag.addPrimary(100n, 0);
  for (let atMs = 1_000; atMs <= 601_000; atMs += 1_000) lag.addPrimary(200n, atMs);
  lag.addReplica(150n);
  expect(lag.at(601_000)).toBe(Infinity);
  lag.addReplica(200n);
  expect(lag.at(601_000)).toBe(0);
});
