// The one client of the API: cookie session with its CSRF token, one retry where that is safe, problem+json as a typed error.
import type { Problem } from '../../../generated/api';

/** How long a request may take before it is given up. */
const GIVE_UP_MS = 30_000;
/** A wait that the server asks for is kept up to here; a longer one is the person's to decide. */
const WAIT_MAX_S = 4;

/** A refused or failed call. `status` is 0 when no answer came. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly problem: Problem,
    /** Seconds that the server asks to wait. */
    readonly retryAfter: number | null = null,
  ) {
    super(problem.detail);
  }

  /** The server's words on one field. */
  field(name: string): string | undefined {
    return this.problem.errors?.find((error) => error.field === name)?.message;
  }
}

export interface Options {
  query?: Record<string, string | number | boolean | null | undefined>;
  body?: unknown;
  /** The version that was read, for `If-Match`. */
  version?: string | null;
  /** The same key makes a repeat harmless; every POST has one. */
  key?: string;
  signal?: AbortSignal;
}

export interface Answer<T> {
  data: T;
  version: string | null;
  status: number;
  headers: Headers;
}

/** What the client needs from the session; set once by it. */
export const identity = {
  csrf: '',
  /** Renews the session, or waits until the person has signed in again; false when there is none. */
  renew: async (): Promise<boolean> => false,
};

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

function address(path: string, query: Options['query']) {
  const fields = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined && value !== null && value !== '') fields.set(name, String(value));
  }
  const text = fields.toString();
  return path + (text ? '?' + text : '');
}

function lost(cause: unknown): ApiError {
  const aborted = cause instanceof DOMException && cause.name === 'AbortError';
  const code = aborted ? 'aborted' : 'offline';
  return new ApiError(0, { type: 'about:blank', title: code, status: 0, code, detail: 'No answer came from the server.', retry: 'safe' });
}

async function refused(response: Response): Promise<ApiError> {
  const text = await response.text();
  let problem: Problem;
  try {
    problem = JSON.parse(text) as Problem;
    if (typeof problem.detail !== 'string') throw new Error('not a problem');
  } catch {
    problem = { type: 'about:blank', title: response.statusText, status: response.status, code: 'unknown', detail: `The server answered ${response.status}.`, retry: 'never' };
  }
  const after = Number(response.headers.get('retry-after'));
  return new ApiError(response.status, problem, Number.isFinite(after) && after > 0 ? after : null);
}

async function once(method: string, path: string, options: Options): Promise<Response> {
  const headers: Record<string, string> = { Accept: 'application/json' };
  let body: BodyInit | undefined;
  if (options.body instanceof FormData) body = options.body;
  else if (options.body instanceof Blob) {
    // A list or another file as it is; its kind is the blob's.
    headers['Content-Type'] = options.body.type;
    body = options.body;
  }
  else if (options.body !== undefined) {
    headers['Content-Type'] = 'application/json';
    body = JSON.stringify(options.body);
  }
  if (method !== 'GET' && method !== 'HEAD') headers['X-CSRF-Token'] = identity.csrf;
  if (options.version) headers['If-Match'] = options.version;
  if (options.key) headers['Idempotency-Key'] = options.key;
  const limit = AbortSignal.timeout(GIVE_UP_MS);
  const signal = options.signal ? AbortSignal.any([options.signal, limit]) : limit;
  return fetch(address(path, options.query), { method, headers, body, signal, credentials: 'same-origin' });
}

/** Renews the session; a server that cannot be reached for it is no lost session. */
async function renew(): Promise<boolean> {
  try {
    return await identity.renew();
  } catch (cause) {
    throw cause instanceof ApiError ? cause : lost(cause);
  }
}

/** Sends a call and gives its answer with the version (`ETag`); throws an `ApiError` otherwise. */
export async function send<T>(method: string, path: string, options: Options = {}): Promise<Answer<T>> {
  const given: Options = method === 'POST' && !options.key && !(options.body instanceof FormData) ? { ...options, key: crypto.randomUUID() } : options;
  // A read changes nothing, and a keyed POST is answered as it was the first time.
  const harmless = method === 'GET' || method === 'HEAD' || given.key !== undefined;
  let renewed = false;
  for (let attempt = 1; ; attempt += 1) {
    let response: Response;
    try {
      response = await once(method, path, given);
    } catch (cause) {
      if (harmless && attempt === 1 && !given.signal?.aborted) {
        await pause(400);
        continue;
      }
      throw lost(cause);
    }
    if (response.ok) {
      const data = (response.status === 204 ? undefined : await response.json().catch(() => undefined)) as T;
      return { data, version: response.headers.get('etag'), status: response.status, headers: response.headers };
    }
    const error = await refused(response);
    // A refused log-in is an answer, not the end of a session.
    if (error.status === 401 && !renewed && !path.startsWith('/api/auth/') && (await renew())) {
      renewed = true;
      continue;
    }
    const wait = error.retryAfter ?? 1;
    if (harmless && attempt === 1 && error.status === 503 && error.problem.retry !== 'never' && wait <= WAIT_MAX_S) {
      await pause(wait * 1000);
      continue;
    }
    throw error;
  }
}

const data =
  (method: string) =>
    async <T>(path: string, body?: unknown, options: Options = {}): Promise<T> =>
      (await send<T>(method, path, { ...options, body })).data;

/** The version of a thing as the server takes it with a change of that thing. */
export const tag = (version: number) => `"${version}"`;

/** What is stored now, when a change came too late. */
export const storedNow = <T>(error: unknown): T | null => (error instanceof ApiError && error.status === 412 ? ((error.problem.current as T | undefined) ?? null) : null);

/** Shorthands that give the body alone. */
export const api = {
  get: async <T>(path: string, query?: Options['query'], options: Options = {}): Promise<T> => (await send<T>('GET', path, { ...options, query })).data,
  post: data('POST'),
  patch: data('PATCH'),
  delete: data('DELETE'),
};

/** A path's segment. */
export const seg = encodeURIComponent;
