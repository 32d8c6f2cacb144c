/** The media types of a merge patch (RFC 7396) to a project, a key, a device or a webhook. */
export const PATCH_TYPES = ['application/merge-patch+json', 'application/json'];
