// Errors of the API as sentences for people, with what to do next.
import { ApiError } from './api';
import { t } from './texts';
import { plainly } from './words';

/** What to tell a person about a failure. */
export function sentence(error: unknown): string {
  if (!(error instanceof ApiError)) return t.problems.unknown;
  const { status, problem, retryAfter } = error;
  switch (status) {
    case 0:
      return t.problems.offline;
    case 402:
      return t.problems.limit(problem.detail);
    case 403:
      return t.problems.forbidden(problem.detail);
    case 404:
      return t.problems.missing;
    case 409:
      return t.problems.conflict[problem.code] ?? capital(problem.detail);
    case 412:
      return t.problems.stale;
    case 413:
      return t.problems.large;
    case 422:
      return problem.errors?.map(({ field, message }) => about(field, message)).join('. ') || capital(problem.detail);
    case 429:
      return t.problems.slow(retryAfter);
    case 503:
      return problem.code === 'outcome_unknown' ? t.problems.unsure : t.problems.busy(retryAfter);
    default:
      return capital(problem.detail);
  }
}

/** The message that belongs to a form's field; a parent's errors are listed under it too. */
export function fieldError(error: unknown, name: string): string | undefined {
  if (!(error instanceof ApiError)) return undefined;
  const found = error.problem.errors?.filter(({ field }) => field === name || field.startsWith(name + '.'));
  return found?.length ? found.map(({ message }) => capital(message)).join(' ') : undefined;
}

function capital(text: string): string {
  const said = plainly(text);
  const whole = said.charAt(0).toUpperCase() + said.slice(1);
  return /[.!?]$/.test(whole) ? whole : whole + '.';
}

/** A field and what is wrong with it; a message that is a sentence of its own needs no field before it. */
function about(field: string, message: string): string {
  const said = plainly(message);
  return /^(that|this|there|it|the) /i.test(said) ? capital(said).slice(0, -1) : `${label(field)} ${said}`;
}

function label(field: string): string {
  const name = t.save.fields[field] ?? field.replace(/^fields\./, '').split('.').map((part) => t.settings.days[part] ?? part.replaceAll('_', ' ')).join(' › ');
  return name.charAt(0).toUpperCase() + name.slice(1);
}
