/** The media types of a merge patch (RFC 7396) to a project, a key or a device. */
export const PATCH_TYPES = ['application/merge-patch+json', 'application/json'];
