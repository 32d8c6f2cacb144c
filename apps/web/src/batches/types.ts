export interface Batch {
  batch_id: string;
  object_count: number;
  created_at: string;
}
