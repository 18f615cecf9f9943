/** The chat page opened by itself: no host, no loader. Fetched only then. */

import { openVault } from '../shared/storage';
import type { FromHost, Link } from './link';

/** Opened as a page of its own: this origin's storage stands in for the host's. */
export function ownLink(agentId: string): Link {
  document.body.classList.add('alone');
  const seen = visualViewport!;
  // On a phone the keyboard covers part of the page; what can still be seen is ours.
  seen.onresize = () => (document.body.style.height = seen.height + 'px');
  const vault = openVault(agentId);
  let tell = (_message: FromHost) => {};
  return {
    start: { store: vault.held, open: true },
    post(message) {
      if (message.t === 'set') vault.set(message.k, message.v);
      // There is nothing to close into.
      if (message.t === 'close') tell({ t: 'open', v: true });
    },
    listen: (handler) => (tell = handler),
  };
}
