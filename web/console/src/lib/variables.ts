// What stands for a template's variables while nobody has given them words: what the organization says about itself comes before the template's careful sentence.
import { t } from './texts';
import type { Agent, Organization } from './types';

/** The variables that have a standing text, as visitors get it; what is made of hours or an address is named, not made here a second time. */
export function standing(agent: Pick<Agent, 'variable_defaults'>, organization: Pick<Organization, 'name' | 'phone' | 'email' | 'address' | 'business_hours'>): Record<string, string> {
  const { name, phone, email, address, business_hours: hours } = organization;
  const open = Object.values(hours).some(Boolean);
  const city = address?.city.trim();
  const own: Record<string, string | false | null | undefined> = {
    business_name: name,
    business_phone: phone,
    business_email: email,
    city,
    state: address?.state.trim(),
    service_area: city && t.chat.areaOf(city),
    location_answer: address?.street.trim() && t.chat.fromAddress,
    business_hours_answer: open && t.chat.fromHours,
    support_hours_answer: open && t.chat.fromHours,
    business_hours: open && t.chat.fromHours,
    contact_answer: (phone || email) && t.chat.fromContact,
  };
  return Object.fromEntries(Object.entries(agent.variable_defaults).map(([key, text]) => [key, own[key] || text]));
}
