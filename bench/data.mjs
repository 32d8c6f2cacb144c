const TYPES = ['shoe', 'card', 'boot', 'hat', 'bag'];
const COLORS = ['red', 'blue', 'purple', 'gold', 'white', 'black'];
/** Only this number of objects, the first ones, have the pair era=old. */
export const OLD_OBJECTS = 50_000;

/** A prefix that makes ids unique among threads. */
const THREAD = Math.random().toString(36).slice(2, 8);

let created = 0;

/** Builds a batch of typical objects with four to six pairs, including the pairs that the reads filter by. */
export function makeBatch(size) {
  const objects = [];
  for (let i = 0; i < size; i++) {
    const n = ++created;
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
    batchId: `bench-${THREAD}-${created}`,
    ids: objects.map((object) => object.object_id),
    text: JSON.stringify({ batch_id: `bench-${THREAD}-${created}`, objects }),
  };
}
