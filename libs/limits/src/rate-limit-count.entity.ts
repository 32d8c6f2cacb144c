import { Column, Entity, PrimaryColumn } from 'typeorm';

/** The items that all processes have counted in a window. The table is unlogged. Properties are named like the columns. */
@Entity('rate_limit_counts')
export class RateLimitCountEntity {
  /** The name of the limit and the id of the key, project or address; see `keyOf`. */
  @PrimaryColumn({ type: 'text', collation: 'C', primaryKeyConstraintName: 'rate_limit_counts_pkey' })
  key: string;

  /** Items; as text, like every bigint. */
  @Column('bigint')
  points: string;

  /** The end of the window, in milliseconds since 1970 by the clock of the database. */
  @Column('bigint')
  expire: string;
}
