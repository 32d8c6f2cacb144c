import { AccessModule, parseProjectId } from '#access';
import { AuditQuery, AuditReadStore, AuditVerifier, INSTALLATION, type ChainReport, type KnownHead } from '#audit';
import { getAccessServices, getProjectId, listFirst, validateQuery, withModule } from './access-services.js';

/** The services behind the commands of the audit log. The commands import this module when they run. */
export { AuditQuery, type ChainReport, INSTALLATION, type KnownHead, listFirst, validateQuery };

/** The chain that a command is about. */
export interface ChainOptions {
  project?: string | undefined;
  installation?: boolean | undefined;
}

export interface AuditServices {
  store: AuditReadStore;
  verifier: AuditVerifier;
  /** The number of a chain: the id of a project, or INSTALLATION. @throws Problem not-found */
  getChain: (options: ChainOptions) => Promise<number>;
}

export function withAudit<T>(work: (services: AuditServices) => Promise<T>): Promise<T> {
  return withModule(AccessModule, { leasesLane: false }, (app) => {
    const access = getAccessServices(app);
    const store = app.get(AuditReadStore);
    return work({
      store,
      verifier: app.get(AuditVerifier),
      getChain: async ({ project, installation }) => {
        if (installation === true) return INSTALLATION;
        try {
          return await getProjectId(access, project);
        } catch (error) {
          // A project that was deleted still has a chain.
          const id = parseProjectId(project ?? '');
          if (id === null || !(await store.hasExisted(id))) throw error;
          return id;
        }
      },
    });
  });
}
