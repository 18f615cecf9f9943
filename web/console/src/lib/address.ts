// A postal address as the contract has it: parts that are edited one by one.
import type { Address } from './types';

export const ADDRESS_PARTS = ['street', 'city', 'state', 'zip', 'country'] as const;
export type AddressPart = (typeof ADDRESS_PARTS)[number];

/** All parts of what is there. Drafts of earlier versions hold one line. */
export function partsOf(address: Address | string | null | undefined): Address {
  const known: Partial<Address> = typeof address === 'string' ? { street: address } : (address ?? {});
  return Object.fromEntries(ADDRESS_PARTS.map((part) => [part, known[part] ?? ''])) as unknown as Address;
}

/** The address with one part changed; without any part there is none. */
export function withPart(address: Address | null, part: AddressPart, value: string): Address | null {
  const next = { ...partsOf(address), [part]: value.trim() };
  return ADDRESS_PARTS.some((one) => next[one]) ? next : null;
}
