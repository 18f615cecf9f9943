// Files that are to go with the next message: each is uploaded as it is added, and taken back when it is removed or the page is left.
import { ApiError, api, seg } from './api';
import { sentence } from './problems';
import type { StoredFile } from './types';
import { upload } from './upload';

/** Files of one message, as the server takes them. */
export const FILES_MAX = 5;
/** What the picker offers; what a file is, the server tells by its bytes. */
export const FILE_TYPES = ['image/jpeg', 'image/png', 'image/gif', 'application/pdf'];

export class AttachedFile {
  readonly key = crypto.randomUUID();
  /** How much of it is there, 0 to 1. */
  part = $state(0);
  stored = $state.raw<StoredFile | null>(null);
  /** Why it cannot be sent. */
  error = $state('');
  readonly stop = new AbortController();

  constructor(readonly name: string, readonly size: number) {}
}

export class Attached {
  items = $state.raw<AttachedFile[]>([]);
  /** Whether everything is there and nothing was refused. */
  readonly ready = $derived.by(() => this.items.every((one) => one.stored !== null));

  constructor(readonly conversation: string) {}

  /** Where a file opens, once it is there. */
  address(file: StoredFile) {
    return `${this.#path}/${seg(file.id)}`;
  }

  get #path() {
    return `/api/conversations/${seg(this.conversation)}/attachments`;
  }

  /** False when some are left out because a message takes no more. */
  add(files: File[]): boolean {
    const room = FILES_MAX - this.items.length;
    for (const file of files.slice(0, Math.max(0, room))) {
      const one = new AttachedFile(file.name || 'file', file.size);
      this.items = [...this.items, one];
      void this.#upload(one, file);
    }
    return files.length <= room;
  }

  async #upload(one: AttachedFile, file: File) {
    try {
      const stored = await upload<StoredFile>(`${this.#path}?name=${encodeURIComponent(one.name)}`, file, (part) => (one.part = part), one.stop.signal);
      if (this.items.some((other) => other !== one && other.stored?.id === stored.id)) this.#drop(one);
      else if (this.items.includes(one)) one.stored = stored;
    } catch (error) {
      // The server says how large a file may be; the general sentence does not.
      one.error = error instanceof ApiError && error.status === 413 ? error.problem.detail : sentence(error);
    }
  }

  #drop(one: AttachedFile) {
    one.stop.abort();
    this.items = this.items.filter((other) => other !== one);
  }

  remove(one: AttachedFile) {
    this.#drop(one);
    // What was sent with an earlier message stays there: the server refuses, and nobody needs to hear of it.
    if (one.stored) void api.delete(this.address(one.stored)).catch(() => undefined);
  }

  /** What goes with the message that is sent now; the next one begins without. */
  take(): StoredFile[] {
    const files = this.items.flatMap((one) => one.stored ?? []);
    this.items = [];
    return files;
  }

  /** Takes files of a message that could not be sent back into the composer. */
  back(files: StoredFile[]) {
    for (const stored of files) {
      if (this.items.length >= FILES_MAX || this.items.some((one) => one.stored?.id === stored.id)) continue;
      const one = new AttachedFile(stored.name, stored.bytes);
      one.stored = stored;
      this.items = [...this.items, one];
    }
  }

  /** The page is left: what was not sent is nobody's. */
  leave() {
    for (const one of this.items) this.remove(one);
  }
}
