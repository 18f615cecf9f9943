// Where the files of messages open, and what those are that people attached.
import { ApiError, seg, send } from './api';
import { size } from './format';
import { t } from './texts';
import type { Message, StoredFile } from './types';

/** What the team sent. */
export const sentFiles = (conversation: string, files: StoredFile[]) =>
  files.map((file) => ({ url: `/api/conversations/${seg(conversation)}/attachments/${seg(file.id)}`, name: file.name, picture: file.media_type.startsWith('image/'), bytes: file.bytes }));

/** What the person attached. What it is, is known once the carrier was asked. */
export const heardFiles = (conversation: string, { id, attachments }: Pick<Message, 'id' | 'attachments'>) =>
  (attachments ?? []).map((_, at) => ({ url: `/api/conversations/${seg(conversation)}/messages/${seg(id)}/attachments/${at}`, name: t.carried.files.heard(at + 1) }));

/** What a file turned out to be. */
export type Found =
  | { state: 'gone' }
  | { state: 'later' }
  | { state: 'there'; kind: 'picture' | 'audio' | 'video' | 'other'; file: string; size: string; playable: boolean };

const KINDS = { image: 'picture', audio: 'audio', video: 'video' } as const;

/** The name in a `Content-Disposition` of the server's. */
export function fileName(disposition: string | null): string {
  const whole = /filename\*=UTF-8''([^;]+)/.exec(disposition ?? '')?.[1];
  try {
    return whole ? decodeURIComponent(whole) : 'file';
  } catch {
    return 'file';
  }
}

/** Asks what a file is, which makes the server fetch it from the carrier if it has not yet. */
export async function look(url: string): Promise<Found> {
  try {
    const { headers } = await send('HEAD', url);
    const type = headers.get('content-type') ?? '';
    const family = KINDS[type.split('/')[0] as keyof typeof KINDS];
    const player = family === 'audio' || family === 'video' ? document.createElement(family) : null;
    const playable = !player || player.canPlayType(type) !== '';
    return { state: 'there', kind: playable && family ? family : 'other', file: fileName(headers.get('content-disposition')), size: size(Number(headers.get('content-length') ?? 0)), playable };
  } catch (error) {
    return { state: error instanceof ApiError && error.status === 404 ? 'gone' : 'later' };
  }
}
