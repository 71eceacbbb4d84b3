/**
 * @file The bill of a run, fetched.
 */
import type { BillView } from '../../protocol.js';
import { BillSheet } from '../bill-sheet.js';
import { get } from '../client.js';
import { Problem, useLoaded, Waiting } from '../ui.js';

export function RunBill({ name, fresh }: { name: string; fresh: string }) {
  const { value, error } = useLoaded(
    () => get<BillView>(`runs/${encodeURIComponent(name)}/bill`),
    [name, fresh],
  );
  if (error !== null) return <Problem>{error}</Problem>;
  if (value === null) return <Waiting>Adding up the bill…</Waiting>;
  const { bill, final } = value;
  return (
    <BillSheet
      name={name}
      bill={bill}
      final={final}
      link={`${location.origin}/runs/${encodeURIComponent(name)}/bill`}
    />
  );
}
