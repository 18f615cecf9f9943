// Sends a file as it is and tells how much of it is there, which `fetch` cannot.
import { ApiError, identity } from './api';
import type { Problem } from '../../../generated/api';

/** A file on a slow telephone takes a while. */
const GIVE_UP_MS = 120_000;

interface Sent {
  status: number;
  body: unknown;
}

function once(path: string, file: Blob, progress: (part: number) => void, signal: AbortSignal): Promise<Sent> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const lost = (code: string) => () => reject(new ApiError(0, { type: 'about:blank', title: code, status: 0, code, detail: 'No answer came from the server.', retry: 'safe' }));
    const stop = () => request.abort();
    request.open('POST', path);
    request.responseType = 'json';
    request.timeout = GIVE_UP_MS;
    request.setRequestHeader('Accept', 'application/json');
    request.setRequestHeader('Content-Type', 'application/octet-stream');
    request.setRequestHeader('X-CSRF-Token', identity.csrf);
    request.upload.onprogress = (event) => progress(event.lengthComputable ? event.loaded / event.total : 0);
    request.onload = () => resolve({ status: request.status, body: request.response });
    request.onerror = lost('offline');
    request.ontimeout = lost('offline');
    request.onabort = lost('aborted');
    request.onloadend = () => signal.removeEventListener('abort', stop);
    signal.addEventListener('abort', stop);
    request.send(file);
  });
}

/** Posts the file; throws an `ApiError` when it is refused. A session that has ended is renewed once. */
export async function upload<T>(path: string, file: Blob, progress: (part: number) => void, signal: AbortSignal): Promise<T> {
  let sent = await once(path, file, progress, signal);
  if (sent.status === 401 && (await identity.renew())) sent = await once(path, file, progress, signal);
  if (sent.status >= 200 && sent.status < 300) return sent.body as T;
  const known = sent.body as Problem | null;
  const problem: Problem = typeof known?.detail === 'string' ? known : { type: 'about:blank', title: 'unknown', status: sent.status, code: 'unknown', detail: `The server answered ${sent.status}.`, retry: 'never' };
  throw new ApiError(sent.status, problem);
}
