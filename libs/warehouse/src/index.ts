/**
 * warehouse: batches and objects: what producers post, analysts find and admins delete.
 * Imports json, filter, platform, access, jobs.
 */
export { CreateBatchDto, PutBatchDto, WholeBatchDto } from './batch.dto.js';
export { BatchService } from './batch.service.js';
export { BatchOperations } from './batch.operations.js';
export { BulkSchema } from './bulk-schema.js';
export { CreateObjectDto, ObjectDto, PatchObjectDto, ReplaceObjectDto } from './object.dto.js';
export { WarehouseModule } from './warehouse.module.js';
