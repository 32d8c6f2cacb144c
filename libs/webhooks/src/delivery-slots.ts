import { SLOW_MS, SlowProjects } from './slow-projects.js';

/** Requests at a time, and those of one project. */
const TOTAL = 64;
const PER_PROJECT = 2;
/** Requests at a time of all projects whose receivers are slow: the others keep the rest. */
const SLOW_TOTAL = 32;

/** The right to send requests of one project, one at a time. */
export interface DeliverySlot {
  readonly projectId: number;
  /** Of the present request. */
  startedAtMs: number;
  /** The webhook that the present request is sent to; null between two requests. */
  webhookId: string | null;
}

/**
 * Shares the requests of a process among the projects, so that receivers that do not respond, however many projects have them, delay
 * only their own projects: projects whose last request took long, or whose present one does, have at most half of all.
 */
export class DeliverySlots {
  private readonly slots = new Set<DeliverySlot>();
  private readonly slow = new SlowProjects();

  /** @param now milliseconds of a monotonic clock */
  constructor(private readonly now: () => number = () => performance.now()) {}

  /** Null where the project, or this process, sends as much as it may. */
  take(projectId: number): DeliverySlot | null {
    const ofProject = [...this.slots].filter((slot) => slot.projectId === projectId);
    if (this.slots.size >= TOTAL || ofProject.length >= PER_PROJECT) return null;
    if (this.isSlow(projectId) && this.slowInUse() >= SLOW_TOTAL) return null;
    const slot = { projectId, startedAtMs: this.now(), webhookId: null };
    this.slots.add(slot);
    return slot;
  }

  /** Whether others may be waiting for a slot of this project. */
  isWanted({ projectId }: DeliverySlot): boolean {
    return this.slots.size >= TOTAL || (this.isSlow(projectId) && this.slowInUse() >= SLOW_TOTAL);
  }

  release(slot: DeliverySlot): void {
    this.slots.delete(slot);
  }

  begin(slot: DeliverySlot, webhookId: string): void {
    slot.startedAtMs = this.now();
    slot.webhookId = webhookId;
  }

  /** Notes how long the request took. */
  end(slot: DeliverySlot): void {
    slot.webhookId = null;
    this.slow.note(slot.projectId, this.now() - slot.startedAtMs);
  }

  /** Projects that get no further slot now. */
  fullProjects(): number[] {
    const counts = new Map<number, number>();
    for (const { projectId } of this.slots) counts.set(projectId, (counts.get(projectId) ?? 0) + 1);
    const full = [...counts].filter(([, count]) => count >= PER_PROJECT).map(([projectId]) => projectId);
    if (this.slowInUse() < SLOW_TOTAL) return full;
    const slowNow = [...counts.keys()].filter((projectId) => this.isSlow(projectId));
    return [...new Set([...full, ...this.slow, ...slowNow])];
  }

  /** The webhooks of a project that a request is being sent to. */
  busyWebhooks(projectId: number): string[] {
    return [...this.slots].flatMap((slot) => (slot.projectId === projectId ? (slot.webhookId ?? []) : []));
  }

  private isSlow(projectId: number): boolean {
    if (this.slow.has(projectId)) return true;
    const since = this.now() - SLOW_MS;
    return [...this.slots].some(
      (slot) => slot.projectId === projectId && slot.webhookId !== null && slot.startedAtMs < since,
    );
  }

  private slowInUse(): number {
    return [...this.slots].filter(({ projectId }) => this.isSlow(projectId)).length;
  }
}
