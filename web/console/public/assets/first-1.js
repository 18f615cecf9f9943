// Before the first paint: sets the theme, asks who is signed in while the console's code is still being read, and has the home page's code fetched beside it.
// A change of this file needs a new name: browsers keep it for good.
(function () {
  var theme;
  try {
    theme = localStorage.getItem('colloquy.theme');
  } catch (error) {
    theme = null;
  }
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
  window.colloquyMe = fetch('/api/me', { headers: { Accept: 'application/json' }, credentials: 'same-origin' }).catch(function () {
    return null;
  });
  var home = document.querySelector('meta[name="colloquy-home"]');
  if (!home || !/^\/app\/?$/.test(location.pathname)) return;
  home.content.split(' ').forEach(function (file) {
    var link = document.createElement('link');
    link.rel = /\.css$/.test(file) ? 'stylesheet' : 'modulepreload';
    link.crossOrigin = '';
    link.href = file;
    document.head.append(link);
  });
})();
