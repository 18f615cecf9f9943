// Where the files of messages open.
import { seg } from './api';
import { t } from './texts';
import type { Message, StoredFile } from './types';

/** What the team sent. */
export const sentFiles = (conversation: string, files: StoredFile[]) =>
  files.map((file) => ({ url: `/api/conversations/${seg(conversation)}/attachments/${seg(file.id)}`, name: file.name, picture: file.media_type.startsWith('image/'), bytes: file.bytes }));

/** What the person attached: its type is known once the carrier was asked, so it is tried as a picture. */
export const heardFiles = (conversation: string, { id, attachments }: Pick<Message, 'id' | 'attachments'>) =>
  (attachments ?? []).map((_, at) => ({ url: `/api/conversations/${seg(conversation)}/messages/${seg(id)}/attachments/${at}`, name: t.carried.files.heard(at + 1), picture: true }));
