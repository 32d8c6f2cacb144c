const TYPES = ['shoe', 'card', 'boot', 'hat', 'bag'];
const COLORS = ['red', 'blue', 'purple', 'gold', 'white', 'black'];
/** So many of the first objects have the pair era=old, and no later one. */
export const OLD_OBJECTS = 50_000;

/** Each thread that makes batches has ids of its own. */
const THREAD = Math.random().toString(36).slice(2, 8);

let made = 0;

/** A batch of objects like our users' (two to five pairs), with the pairs that the reads ask for. */
export function makeBatch(size) {
  const objects = [];
  for (let i = 0; i < size; i++) {
    const n = ++made;
    objects.push({
      object_id: `${n.toString(16).padStart(12, '0')}${Math.random().toString(36).slice(2, 14)}`,
      data: [
        { key: 'type', value: TYPES[n % TYPES.length] },
        { key: 'color', value: COLORS[n % COLORS.length] },
        { key: 'country', value: `C${n % 97}` },
        { key: 'size', value: n % 50 },
        ...(n % 1000 === 0 ? [{ key: 'rare', value: `r${n % 10_000}` }] : []),
        ...(n <= OLD_OBJECTS ? [{ key: 'era', value: 'old' }] : []),
      ],
    });
  }
  return {
    batchId: `bench-${THREAD}-${made}`,
    ids: objects.map((object) => object.object_id),
    text: JSON.stringify({ batch_id: `bench-${THREAD}-${made}`, objects }),
  };
}
