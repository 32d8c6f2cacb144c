import type { JSX } from 'preact';

interface Props {
  /** Names with their values; null to leave one out. */
  facts: readonly (readonly [name: string, value: string | null])[];
}

/** The members of something, one below the other. */
export function FactTable({ facts }: Props): JSX.Element {
  return (
    <table class="pairs">
      <tbody>
        {facts.map(
          ([name, value]) =>
            value !== null && (
              <tr key={name}>
                <th scope="row">{name}</th>
                <td>{value}</td>
              </tr>
            ),
        )}
      </tbody>
    </table>
  );
}
