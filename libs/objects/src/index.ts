/**
 * objects: single objects and lists of objects: create, read, replace, patch, delete, filter.
 * Imports json, filter, platform, database, http, usage, audit, access, jobs, store.
 */
export { filterOf, FilterQuery, objectsFingerprint } from './filter.dto.js';
export { dataText, isShorthand } from './object-body.js';
export { changeEntries } from './object-change.js';
export { ObjectEtags } from './object-etags.js';
export { ObjectIndexStore } from './object-index.store.js';
export { ObjectListStore } from './object-list.store.js';
export { wholeOrderSql } from './object-order.js';
export { type ObjectSort, ObjectSortQuery, sortOf } from './object-sort.js';
export {
  CreateObjectDto,
  NewObjectDto,
  ObjectDto,
  ObjectIdField,
  PairDto,
  PatchObjectDto,
  ReplaceObjectDto,
  type JsonValue,
  VALUE_SCHEMA,
} from './object.dto.js';
export {
  NESTED_MEMBERS,
  OBJECT_MEMBERS,
  ObjectListQuery,
  ObjectViewQuery,
  type ObjectView,
  type ViewField,
  viewedText,
  viewedTexts,
  viewOf,
  WHOLE_VIEW,
} from './object-view.js';
export { DELETE_OBJECTS_MAX } from './object-deletion.js';
export { ObjectDeletionStore } from './object-deletion.store.js';
export { objectText } from './object-wire.js';
export { PATCH_OPERATIONS_MAX, PATCHED_DATA_LIMIT_BYTES } from './object-patch.js';
export { ObjectService } from './object.service.js';
export { ObjectStore } from './object.store.js';
export { ObjectsModule } from './objects.module.js';
