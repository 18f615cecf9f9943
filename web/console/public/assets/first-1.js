// Before the first paint: sets the theme, and asks who is signed in while the console's code is still being read.
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
})();
