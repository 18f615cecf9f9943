/* The one-line form: queues the first command and fetches the loader. The server fills in the four marks; an unknown position or colour means the default. */
(function (w, d, b, q, s) {
  q = w.vbot = w.vbot || function () { (q.q = q.q || []).push(arguments); };
  q('init', { agentId: '__AGENT_ID__', apiUrl: b, position: '__POSITION__', color: '__PRIMARY_COLOR__' });
  if (q.live) return;
  s = d.createElement('script');
  s.async = true;
  s.src = b + '/widget/loader.js';
  (d.head || d.documentElement).appendChild(s);
})(window, document, '__BASE__');
